"""Chains: one spelling for each, the grammar and its errors, and the chains of scikit-learn's estimators."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from artfs.registry import ChainSyntaxError, OperatorChain, OperatorNode, compute_chain_hash
from artfs.registry.chains import branch_fits
from artstore.errors import InvalidInputError

NUMBERS = st.integers(0, 999_999_999)
NODES = st.builds(
    OperatorNode,
    NUMBERS,
    st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,20}", fullmatch=True),
    st.lists(NUMBERS, max_size=3),
    st.none() | NUMBERS,
    st.none(),
    st.none() | NUMBERS,
)
CHAINS = st.lists(st.lists(NODES, min_size=1, max_size=3), min_size=1, max_size=4).map(OperatorChain.of_groups)


@given(CHAINS)
def test_a_chain_reads_back_what_it_writes(chain: OperatorChain) -> None:
    """Text and JSON values of a chain give the same chain, merges included, and one hash."""
    assert OperatorChain.from_path(chain.to_path()) == chain
    assert OperatorChain.from_dict(chain.to_dict()) == chain
    assert OperatorChain.from_path(chain.to_path()).to_hash() == chain.to_hash()


@given(CHAINS, st.lists(st.sampled_from(["", " ", "  "]), min_size=8, max_size=8))
def test_spaces_and_modules_do_not_count(chain: OperatorChain, spaces: list[str]) -> None:
    """Spaces around signs and module paths are not part of a chain."""
    text = chain.to_path()
    for sign in ">+":
        text = f"{spaces[0]}{sign}{spaces[1]}".join(text.split(sign))
    text = text.replace(".", ".package.module.", 1) if text.count(".") else text
    assert OperatorChain.from_path(text).to_path() == chain.to_path()


@given(CHAINS, CHAINS)
def test_two_chains_are_two_texts(one: OperatorChain, other: OperatorChain) -> None:
    """Different nodes or groups are written differently."""
    assert (one.to_path() == other.to_path()) == (one == other)


@pytest.mark.parametrize(
    "path",
    ["s1.MinMaxScaler>s3.PLSRegression", "s1.MinMaxScaler", "s3.SNV[br=0,src=1]", "s4.PLS[br=0.1,src=0,sub=2]"],
)
def test_the_hash_is_that_of_the_canonical_text(path: str) -> None:
    """The first 12 digits of the SHA-256 of the text, as the original computes them."""
    assert (
        compute_chain_hash(path)
        == OperatorChain.from_path(path).to_hash()
        == hashlib.sha256(path.encode()).hexdigest()[:12]
    )
    assert OperatorChain.from_path(path).to_hash(40) == hashlib.sha256(path.encode()).hexdigest()[:40]


def test_the_hash_of_the_guide_is_known() -> None:
    """The guide's chain has the same hash on every machine and in every run."""
    assert compute_chain_hash("s1.MinMaxScaler>s3.PLSRegression") == "35f1eb7779ca"
    assert compute_chain_hash("s1.sklearn.preprocessing.MinMaxScaler > s3.PLSRegression") == "35f1eb7779ca"


def test_the_order_of_qualifiers_does_not_count_and_that_of_a_merge_does() -> None:
    """Qualifiers have one order in the text; the columns of a merge depend on its order."""
    assert compute_chain_hash("s3.PLS[src=1,br=0]") == compute_chain_hash("s3.PLS[br=0,src=1]")
    assert compute_chain_hash("s4.A[br=0]+s4.B[br=1]>s5.C") != compute_chain_hash("s4.B[br=1]+s4.A[br=0]>s5.C")


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("", 0),
        (" s1.A", 0),
        ("s1.A ", 4),
        ("s1.A>", 5),
        ("s1.A>>s2.B", 5),
        ("s1.A+", 5),
        ("+s1.A", 0),
        ("1.A", 0),
        ("s.A", 1),
        ("s01.A", 1),
        ("s-1.A", 1),
        ("s1A", 2),
        ("s1.", 3),
        ("s1.2A", 3),
        ("s1.A-B", 4),
        ("s1.A[", 5),
        ("s1.A[]", 5),
        ("s1.A[br=0", 9),
        ("s1.A[br=]", 8),
        ("s1.A[br=0.]", 10),
        ("s1.A[br=0;src=1]", 9),
        ("s1.A[br=0, src=1]", 10),
        ("s1.A[br=0,br=1]", 10),
        ("s1.A[src=0.1]", 10),
        ("s1.A[fold=0]", 5),
        ("s1.A[br=0]x", 10),
        ("s1.A\ns2.B", 4),
        ("s1.A\n", 4),
        ("s1.A[br=٣]", 8),
        ("s1.A > > s2.B", 7),
    ],
)
def test_what_is_no_chain_is_refused_with_its_position(text: str, position: int) -> None:
    """No text is a chain by accident: what the parser does not know is an error at its place."""
    with pytest.raises(ChainSyntaxError) as caught:
        OperatorChain.from_path(text)
    assert caught.value.position == position
    assert isinstance(caught.value, ValueError)
    with pytest.raises(ChainSyntaxError):
        compute_chain_hash(text)


@given(st.text(alphabet="s1.A[br=0,c]>+ ", max_size=24))
def test_any_text_is_a_chain_or_refused(text: str) -> None:
    """A text that is read is, but for spaces, what the chain writes with its qualifiers in any order."""
    try:
        chain = OperatorChain.from_path(text)
    except ChainSyntaxError as error:
        assert 0 <= error.position <= len(text)
    else:
        assert sorted(chain.to_path()) == sorted(text.replace(" ", "")) or "." in text


def test_methods_return_new_chains() -> None:
    """No method changes the chain that it is called on, and filters keep what a branch or source uses."""
    chain = OperatorChain.from_path("s1.A>s2.B[br=0]+s2.B[br=1]>s3.C[br=0,src=1]", "p")
    text = chain.to_path()
    assert chain.append(OperatorNode(4, "D")).to_path() == f"{text}>s4.D"
    assert chain.extend(OperatorChain.from_path("s4.D+s4.E")).to_path() == f"{text}>s4.D+s4.E"
    assert chain.filter_branch([1]).to_path() == "s1.A>s2.B[br=1]"
    assert chain.filter_branch([0, 3]).to_path() == "s1.A>s2.B[br=0]>s3.C[br=0,src=1]"
    assert chain.filter_step(2).to_path() == "s2.B[br=0]+s2.B[br=1]"
    assert chain.filter_source(0).to_path() == "s1.A>s2.B[br=0]+s2.B[br=1]"
    assert chain.remap_steps({3: 7}).to_path() == text.replace("s3", "s7")
    prefixed = OperatorChain.from_path("s1.X>s2.Y+s2.Z").merge_with_prefix(OperatorChain.from_path("s1.I"), 1)
    assert prefixed.to_path() == "s1.I>s2.X>s3.Y+s3.Z"
    assert chain.with_pipeline_id("q").pipeline_id == "q"
    assert chain.get_branch_path() == [0] and chain.get_last_node() == OperatorNode(3, "C", [0], 1)
    assert [node.to_key() for node in chain.get_nodes_at_step(2)] == ["s2.B[br=0]", "s2.B[br=1]"]
    assert chain.copy() == chain and chain.copy() is not chain and chain.pipeline_id == "p"
    assert OperatorChain().is_empty() and OperatorChain().get_last_node() is None and not OperatorChain()
    assert chain.to_path() == text


def test_whole_nodes_begin_a_chain() -> None:
    """`s3.Ridge` is no beginning of `s3.RidgeCV`, nor a part of a merge one of the merge."""
    chain = OperatorChain.from_path("s1.A>s3.RidgeCV+s3.B>s4.C")
    assert chain.begins_with(OperatorChain.from_path("s1.A"))
    assert chain.begins_with(OperatorChain.from_path("s1.A>s3.RidgeCV+s3.B"))
    assert not chain.begins_with(OperatorChain.from_path("s1.A>s3.Ridge"))
    assert not chain.begins_with(OperatorChain.from_path("s1.A>s3.RidgeCV"))


@given(st.lists(st.integers(0, 2), max_size=3), st.lists(st.integers(0, 2), max_size=3))
def test_one_rule_for_branches(path: list[int], wanted: list[int]) -> None:
    """A branch uses what was made on it and on those above it, and nothing else."""
    assert (
        branch_fits(path, wanted)
        == (wanted[: len(path)] == path)
        == OperatorNode(1, "A", path).matches_context(branch_path=wanted)
    )
    assert branch_fits(path, None)


def test_nodes_match_contexts_and_copy_themselves() -> None:
    """A node of no fold or source is shared by all."""
    node = OperatorNode(3, "package.PLS", [0], operator_name="mine")
    assert node.operator_class == "PLS"
    assert node.matches_context(3, [0, 1], 4, 2) and not node.matches_context(2) and not node.matches_context(3, [1])
    assert (
        node.with_fold(2).fold_id == 2 and node.with_source(1).to_key() == "s3.PLS[br=0,src=1]" and node.fold_id is None
    )
    assert not node.with_fold(2).matches_context(fold_id=1) and not node.with_source(1).matches_context(source_index=0)
    assert OperatorNode.from_dict(node.to_dict()) == node
    assert OperatorNode.from_key(node.to_key()).branch_path == [0]


@pytest.mark.parametrize(
    "values",
    [(-1, "A"), (True, "A"), (np.zeros(2), "A"), ("1", "A"), (1, ""), (1, "A B"), (1, "A", [-1]), (1, "A", "0")],
)
def test_nodes_that_a_chain_cannot_write_are_refused(values: tuple[object, ...]) -> None:
    """No node is made that its text would not give back."""
    with pytest.raises(InvalidInputError):
        OperatorNode(*values)  # type: ignore[arg-type]


def test_chains_of_estimators() -> None:
    """Steps follow one another, sources and branches stand side by side, and what merges them comes after."""
    from sklearn.compose import ColumnTransformer
    from sklearn.cross_decomposition import PLSRegression
    from sklearn.decomposition import PCA
    from sklearn.ensemble import RandomForestRegressor, StackingRegressor
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import FeatureUnion, make_pipeline
    from sklearn.preprocessing import MinMaxScaler, StandardScaler

    def path(estimator: object) -> str:
        return OperatorChain.from_estimator(estimator).to_path()

    assert path(PLSRegression()) == "s1.PLSRegression"
    assert path(make_pipeline(MinMaxScaler(), PLSRegression())) == "s1.MinMaxScaler>s2.PLSRegression"
    union = FeatureUnion([("a", PCA()), ("b", make_pipeline(MinMaxScaler(), PCA())), ("c", "drop")])
    assert path(make_pipeline(union, Ridge())) == "s1.MinMaxScaler[br=1]>s2.PCA[br=0]+s2.PCA[br=1]>s3.Ridge"
    columns = ColumnTransformer([("a", StandardScaler(), [0]), ("b", "drop", [1]), ("c", "passthrough", [2])])
    assert path(make_pipeline(columns, Ridge())) == "s1.StandardScaler[src=0]+s1.passthrough[src=1]>s2.Ridge"
    stack = StackingRegressor(
        [("pls", make_pipeline(MinMaxScaler(), PLSRegression())), ("rf", RandomForestRegressor())], Ridge()
    )
    assert path(stack) == "s1.MinMaxScaler[br=0]>s2.PLSRegression[br=0]+s2.RandomForestRegressor[br=1]>s3.Ridge"
    nested = StackingRegressor([("stack", stack), ("ridge", Ridge())], Ridge())
    assert "s2.PLSRegression[br=0.0]+s2.RandomForestRegressor[br=0.1]" in path(nested)
    with pytest.raises(InvalidInputError):
        path("Ridge")
