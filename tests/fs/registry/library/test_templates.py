"""Templates: saved, found, searched, loaded by version, deleted as any version."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from artfs.registry import LibraryManager, RecordError
from artstore.errors import ArtfsError, InvalidInputError, InvalidNameError, NotFoundError, RefusedError

CONFIG = {"steps": [{"class": "sklearn.preprocessing.MinMaxScaler", "params": {"feature_range": (0, 1)}}]}


def test_saving_again(library: LibraryManager) -> None:
    """Equal content and metadata make no version; anything else the next one, and the older ones stay."""
    first = library.save_template(CONFIG, "pls", "a baseline", tags=["b", "a"], metrics={"rmse": 0.5})
    again = library.save_template(CONFIG, "pls", "a baseline", tags=["a", "b", "a"], metrics={"rmse": 0.5})
    assert first.name == again.name == "library/templates/pls:v0"
    changes: list[Callable[[], Any]] = [
        lambda: library.save_template([*CONFIG["steps"]], "pls", "a baseline", tags=["a", "b"], metrics={"rmse": 0.5}),
        lambda: library.save_template([*CONFIG["steps"]], "pls", "a baseline", tags=["a"], metrics={"rmse": 0.5}),
        lambda: library.save_template([*CONFIG["steps"]], "pls", "another", tags=["a"], metrics={"rmse": 0.5}),
        lambda: library.save_template([*CONFIG["steps"]], "pls", "another", tags=["a"], metrics={"rmse": 0.6}),
        lambda: library.save_template([*CONFIG["steps"]], "pls", "another", tags=["a"], category="x"),
        lambda: library.save_template([*CONFIG["steps"]], "pls", "another", tags=["a"], category="x", notes="n"),
        lambda: library.save_template([*CONFIG["steps"]], "pls"),
    ]
    assert [save().number for save in changes] == [1, 2, 3, 4, 5, 6, 7]
    assert library.load_template("pls") == CONFIG["steps"] and library.load_template("pls", 0) == CONFIG
    assert library.load_template("pls", "v0") == library.load_template("pls", version=0)
    assert (
        library.get_template_metadata("pls", 2)["tags"] == ["a"] and library.get_template_metadata("pls")["notes"] == ""
    )
    assert library.workspace.fsck(data=True).clean


def test_the_order_of_dictionaries(library: LibraryManager) -> None:
    """It is kept, because branches are counted by it, but it alone makes no version."""
    library.save_template({"b": 1, "a": {"y": 1, "x": 2}}, "t")
    assert library.save_template({"a": {"x": 2, "y": 1}, "b": 1}, "t").number == 0
    assert list(library.load_template("t")) == ["b", "a"]
    assert library.save_template({"a": {"x": 2, "y": 1}, "b": 1}, "t", "said").number == 1
    assert list(library.load_template("t")) == ["a", "b"]


def test_a_long_configuration(library: LibraryManager) -> None:
    """More than one chunk of the store."""
    config = {"wavelengths": [number / 7 for number in range(20_000)]}
    library.save_template(config, "long")
    assert library.load_template("long") == config and library.save_template(config, "long").number == 0


texts = st.text(st.characters(codec="utf-8"), max_size=20)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(texts, st.integers() | texts | st.tuples(st.floats(allow_nan=False))),
    texts,
    texts,
    st.lists(st.text("abc -é", min_size=1, max_size=9).map(str.strip).filter(bool)),
    st.dictionaries(texts, st.floats(allow_nan=False, allow_infinity=False)),
    texts,
)
def test_round_trip(
    library: LibraryManager,
    config: dict[str, Any],
    description: str,
    category: str,
    tags: list[str],
    metrics: dict[str, float],
    notes: str,
) -> None:
    """What was saved is loaded, listed and searched; through a file, YAML and JSON, it is the same."""
    about: dict[str, Any] = {"category": category, "tags": tags, "metrics": metrics, "notes": notes}
    saved = library.save_template(config, "t", description, **about)
    info = library.get_template_metadata("t")
    assert library.load_template("t") == config and info["ref"] == saved.name
    assert info["description"] == description and info["tags"] == sorted(set(tags))
    assert (info["category"], info["metrics"], info["notes"]) == (category, metrics, notes)
    assert info in library.list_templates(category, tags or None)
    for word in (description.split() + notes.split())[:2]:
        assert info in library.search_templates(word.upper() if word.upper().lower() == word.lower() else word)
    for suffix in ("yaml", "json"):
        file = library.export_template("t", library.folder / f"out.{suffix}", overwrite=True)
        assert library.import_template(file).name == saved.name


def test_finding(library: LibraryManager) -> None:
    """By category, by any of the tags, and by words in everything that is said of a template."""
    library.save_template([1], "team/pls", "Partial Least Squares", category="chemometrics", tags=["nir", "linear"])
    library.save_template([2], "team/forest", "Trees", category="other", tags=["nir"], notes="Slow, but robust")
    library.save_template([3], "ridge")

    def names(found: list[dict[str, Any]]) -> list[str]:
        return [each["name"] for each in found]

    assert names(library.list_templates()) == ["ridge", "team/forest", "team/pls"]
    assert names(library.list_templates("other")) == ["team/forest"]
    assert names(library.list_templates(tags="linear")) == ["team/pls"]
    assert names(library.list_templates(tags=["linear", "nir"])) == ["team/forest", "team/pls"]
    assert names(library.list_templates(category="other", tags=["linear"])) == []
    for text, found in {"SQUARES least": ["team/pls"], "robust slow": ["team/forest"], "CHEMO": ["team/pls"]}.items():
        assert names(library.search_templates(text)) == found
    assert names(library.search_templates("nir")) == ["team/forest", "team/pls"]
    assert names(library.search_templates("rid")) == ["ridge"] and names(library.search_templates("zebra")) == []
    assert len(library.search_templates(" ")) == 3
    found = library.workspace.find(metadata={"category": "other"})
    assert [version.artifact for version in found] == ["library/templates/team/forest"]


def test_deleting(library: LibraryManager) -> None:
    """As `artfs rm`: one version or all, with the undelete window; an alias refuses, and is named."""
    for number in range(3):
        library.save_template([number], "t")
    assert library.delete_template("t", 1).versions == ["library/templates/t:v1"]
    assert library.delete_template("t", dry_run=True).versions == ["library/templates/t:v0", "library/templates/t:v2"]
    library.workspace.aliases.set("library/templates/t:v0", "prod")
    with pytest.raises(RefusedError, match="prod"):
        library.delete_template("t")
    assert library.load_template("t", "prod") == [0]
    library.workspace.aliases.remove("library/templates/t", "prod")
    library.delete_template("t")
    assert library.list_templates() == []
    with pytest.raises(NotFoundError):
        library.delete_template("t")
    library.workspace.undelete("library/templates/t:v2")
    assert library.load_template("t") == [2] and library.save_template([9], "t").number == 3


def test_a_template_that_others_were_made_from(library: LibraryManager) -> None:
    """It is refused, and what was made from it is named."""
    library.save_template([1], "t")
    library.workspace.link("library/templates/t:v0", "best/pipeline")
    with pytest.raises(RefusedError, match="best/pipeline:v0"):
        library.delete_template("t")


@pytest.mark.parametrize(
    ("call", "kind"),
    [
        *[(lambda it, name=name: it.save_template([1], name), InvalidNameError) for name in ("", "a//b", "../x", ".x")],
        *[(lambda it, name=name: it.load_template(name), InvalidNameError) for name in ("a:b", "v1", 7, None, "a\n")],
        (lambda it: it.save_template([1], "x" * 500), InvalidNameError),
        (lambda it: it.save_template([1], "known/below"), InvalidInputError),
        *[
            (lambda it, config=config: it.save_template(config, "x"), InvalidInputError)
            for config in (None, "x", 3, {1})
        ],
        (lambda it: it.save_template([len], "x"), InvalidInputError),
        (lambda it: it.save_template([1], "x", None), InvalidInputError),
        (lambda it: it.save_template([1], "x", category=3), InvalidInputError),
        (lambda it: it.save_template([1], "x", tags=[3]), InvalidInputError),
        (lambda it: it.save_template([1], "x", tags=["a,b"]), InvalidInputError),
        (lambda it: it.save_template([1], "x", metrics=[1]), InvalidInputError),
        (lambda it: it.save_template([1], "x", metrics={1: 1}), InvalidInputError),
        (lambda it: it.save_template([1], "x", notes=b"x"), InvalidInputError),
        (lambda it: it.load_template("unknown"), NotFoundError),
        (lambda it: it.load_template("known", 7), NotFoundError),
        (lambda it: it.load_template("known", "prod"), NotFoundError),
        (lambda it: it.load_template("known", "v07"), InvalidNameError),
        *[
            (lambda it, number=number: it.load_template("known", number), InvalidInputError)
            for number in (-1, True, 1.5)
        ],
        (lambda it: it.get_template_metadata("unknown"), NotFoundError),
        (lambda it: it.delete_template("unknown"), NotFoundError),
        (lambda it: it.search_templates(3), InvalidInputError),
        (lambda it: it.list_templates(tags=[3]), InvalidInputError),
        (lambda it: it.load_template("foreign"), RecordError),
        (lambda it: it.load_template("damaged"), RecordError),
    ],
)
def test_bad_input(
    tmp_path: Path, library: LibraryManager, call: Callable[[Any], object], kind: type[ArtfsError]
) -> None:
    """Each is one typed error, and nothing is saved."""
    library.save_template([1], "known")
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "x").write_text("")
    library.workspace.put(tmp_path / "foreign", "library/templates/foreign")
    (tmp_path / "pipeline.json").write_text('{"$tuple": 1}')
    library.workspace.put(tmp_path / "pipeline.json", "library/templates/damaged")
    before = library.workspace.find()
    with pytest.raises(kind) as caught:
        call(library)
    assert isinstance(caught.value, ArtfsError) and "\n" not in str(caught.value)
    assert [each.name for each in library.workspace.find()] == [each.name for each in before]
