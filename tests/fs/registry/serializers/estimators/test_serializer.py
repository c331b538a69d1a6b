"""Every estimator comes back as it was, and equal ones are equal bytes."""

from __future__ import annotations

import copy
import io
import pickle
import subprocess
import sys
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skops.io
from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import KFold
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler

from artfs.registry.serializers.errors import MalformedPayloadError, UntrustedError
from artfs.registry.serializers.estimators import canonical, serializer
from artfs.registry.serializers.estimators.trusted_types import TYPES
from fitted_estimators import fitted
from payloads import Store
from skops_files import SkopsFile

METHODS = ("predict", "predict_proba", "decision_function", "transform")
RANDOM = ("DummyClassifier",)


def dense(value: Any) -> Any:
    return value.toarray() if sparse.issparse(value) else value


def same(a: Any, b: Any) -> bool:
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    a, b = np.asarray(dense(a)), np.asarray(dense(b))
    return a.dtype == b.dtype and np.array_equal(a, b, equal_nan=a.dtype.kind == "f")


def differing(name: str, estimator: Any, loaded: Any, data: Any) -> list[str]:
    """Return the methods whose results for a copy of the input differ."""
    found = []
    for method in METHODS:
        if name not in RANDOM and hasattr(estimator, method):
            try:
                expected = getattr(estimator, method)(copy.deepcopy(data))
            except ValueError:
                continue
            if not same(expected, getattr(loaded, method)(copy.deepcopy(data))):
                found.append(method)
    return found


@pytest.mark.filterwarnings("ignore")
def test_every_estimator(store: Store) -> None:
    """Each is stored and loaded with nothing further trusted, predicts the same to the bit, and a copy of it, made in
    either way, and what was loaded are the same bytes.  What is not loaded is judged so."""
    wrong = []
    for name, estimator, data in fitted():
        stored = store(estimator)
        if stored.payload.format == "cloudpickle":
            assert name == "Birch", f"{name} is stored as a pickle"
            continue
        judged = TYPES[f"{type(estimator).__module__}.{name}"]
        if not judged.loaded:
            with pytest.raises(UntrustedError):
                stored.load()
            loaded = stored.load(trust=True)
        else:
            loaded = stored.load()
        copies = [copy.deepcopy(estimator), pickle.loads(pickle.dumps(estimator)), loaded]
        wrong += [f"copy {index} of {name}" for index, each in enumerate(copies) if store(each).digest != stored.digest]
        wrong += [f"{name}.{method} differs" for method in differing(name, estimator, loaded, data)]
    assert wrong == []


FITS = """
import sys
sys.path[:0] = sys.argv[3:]
import numpy as np, warnings
warnings.simplefilter("ignore")
from pathlib import Path
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler
from artfs.registry.serializers import serialize
X = np.random.default_rng(0).random((30, 4))
pipeline = make_pipeline(MinMaxScaler(), RandomForestClassifier(5, random_state=0)).fit(X, X[:, 0] > 0.5)
words = CountVectorizer().fit(["alpha beta"])
words.stop_words_ = frozenset("a b c d e f g h".split())
words.other = {"x", "y", "z", 1, 2.5, ("t", 1)}
folder = Path(sys.argv[1])
if sys.argv[2] == "pad":
    junk = [bytearray(b"\\xff" * 10**6) for _ in range(50)]
    del junk
print(serialize([pipeline, words], folder).format)
"""


def test_another_process_makes_the_same_bytes(tmp_path: Path) -> None:
    """Neither the seed of hashes nor what was in memory before is seen in a payload."""
    contents = []
    for seed, pad in (("1", "pad"), ("2", "")):
        folder = tmp_path / seed
        folder.mkdir()
        environment = {"PYTHONHASHSEED": seed, "PYTHONMALLOC": "malloc"}
        command = [sys.executable, "-c", FITS, folder, pad, *sys.path]
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert done.stdout == "skops\n", done.stderr
        contents.append((folder / "payload.skops").read_bytes())
    assert contents[0] == contents[1]


def test_plain_skops_reads_it(store: Store) -> None:
    stored = store(MinMaxScaler().fit([[0.0], [2.0]]))
    assert skops.io.load(stored.file).data_max_ == [2.0]
    names = zipfile.ZipFile(stored.file).namelist()
    assert names[-1] == "schema.json" and names[0] == "0.npy"


@pytest.mark.parametrize(
    "obj",
    [
        sparse.csr_matrix(np.eye(3)),
        sparse.coo_array(np.eye(3)),
        sparse.dia_matrix(np.eye(3)),
        sparse.bsr_array(np.eye(4), blocksize=(2, 2)),
        np.float32(1.5),
        np.str_("x"),
        np.random.RandomState(3),
        np.random.default_rng(3),
        np.random.Generator(np.random.Philox(1)),
        KFold(3),
        {"a": np.array([1, 2]), "b": [1, (2, None)], "c": {1, 2}, "d": b"x", 3: float("nan")},
        [LinearRegression().fit([[0.0], [1.0]], [0, 1]), {"columns": ["a"]}],
        (np.array(["x", "y"]), np.array([None, "a"], dtype=object), np.ma.masked_array([1, 2], [0, 1])),
    ],
    ids=lambda obj: type(obj).__name__,
)
def test_other_objects(store: Store, obj: Any) -> None:
    """Matrices, numbers, generators, splitters and containers come back, and their copies are the same bytes."""
    stored = store(obj)
    assert stored.payload.format == "skops"
    loaded = stored.load()
    assert type(loaded) is type(obj)
    assert store(copy.deepcopy(obj)).digest == store(loaded).digest == stored.digest
    if not isinstance(obj, list | dict | tuple | KFold | np.random.RandomState | np.random.Generator):
        assert same(loaded, obj)


class Own(BaseEstimator):
    """An estimator of the user's."""

    def __init__(self, factor: float = 2.0) -> None:
        self.factor = factor

    def fit(self, x: Any, y: Any = None) -> Own:
        self.means_ = {False: 1.0, True: 2.0} if y is not None else np.mean(x, axis=0)
        return self


def test_a_class_of_the_user_must_be_trusted(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the class; the name, or the class itself, loads it."""
    monkeypatch.setitem(sys.modules, "own_estimators", sys.modules[__name__])
    monkeypatch.setattr(Own, "__module__", "own_estimators")
    stored = store(Own().fit(np.eye(2)))
    assert stored.payload.format == "skops" and stored.payload.safe
    with pytest.raises(UntrustedError) as raised:
        stored.load()
    assert "own_estimators.Own" in str(raised.value)
    for trusted in (["own_estimators.Own"], "own_estimators.Own", Own, [Own]):
        assert stored.load(trusted=trusted).factor == 2.0
    assert stored.load(trust=True).factor == 2.0
    with pytest.raises(UntrustedError):
        stored.load(trusted=["own_estimators", "Own", "own_estimators.*"])


def test_what_skops_would_change_is_left_to_the_next(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """skops reads the key False as True; a lambda cannot be found by name."""
    monkeypatch.setitem(sys.modules, "own_estimators", sys.modules[__name__])
    monkeypatch.setattr(Own, "__module__", "own_estimators")
    changed = store(Own().fit(None, 1))
    assert changed.payload.format == "cloudpickle"
    assert changed.load().means_ == {False: 1.0, True: 2.0}
    assert store(FunctionTransformer(lambda x: x)).payload.format == "cloudpickle"
    assert store(FunctionTransformer(np.log1p)).load().func is np.log1p


def test_a_protocol_that_is_not_known(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is stored as skops wrote it, and loaded only if this user wrote it."""
    monkeypatch.setattr(canonical, "TESTED_PROTOCOLS", frozenset())
    monkeypatch.setattr(serializer, "TESTED_PROTOCOLS", frozenset())
    stored = store(MinMaxScaler().fit([[1.0]]))
    assert zipfile.ZipFile(stored.file).namelist()[0] != "0.npy"
    with pytest.raises(UntrustedError):
        stored.load(mac=None)


def test_a_payload_with_an_older_protocol_than_its_record(store: Store) -> None:
    stored = store(MinMaxScaler().fit([[1.0]]))
    assert stored.payload.format_version == "2"
    with pytest.raises(UntrustedError):
        stored.load(format_version="3")


def test_a_scorer_of_a_search_needs_nothing_further(store: Store) -> None:
    from sklearn.model_selection import GridSearchCV

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        search = GridSearchCV(LinearRegression(), {"positive": [True, False]}, scoring="r2", cv=2)
        search.fit(np.arange(12.0).reshape(6, 2), np.arange(6.0))
    assert store(search).load().best_params_ == search.best_params_


def test_flipped_bytes_are_refused_or_harmless(store: Store) -> None:
    """Without a digest: any flipped byte is a typed error, or the object is loaded."""
    stored = store(MinMaxScaler().fit([[0.0], [2.0]]))
    data = stored.file.read_bytes()
    rng = np.random.default_rng(0)
    failures = 0
    for place in rng.integers(0, len(data), 150):
        changed = bytearray(data)
        changed[place] ^= 1 << int(rng.integers(8))
        stored.file.write_bytes(bytes(changed))
        try:
            stored.load(content_hash="", versions=None)
        except (MalformedPayloadError, UntrustedError):
            failures += 1
    for length in range(0, len(data), 97):
        stored.file.write_bytes(data[:length])
        with pytest.raises(MalformedPayloadError):
            stored.load(content_hash="", versions=None)
    assert failures > 30


def test_a_file_of_skops_itself(store: Store, tmp_path: Path) -> None:
    """What others wrote with skops is audited and loaded; compressed files are refused."""
    model = MinMaxScaler().fit([[0.0], [2.0]])
    stored = store(model)
    stored.file.write_bytes(skops.io.dumps(model))
    assert stored.load(content_hash="").data_max_ == [2.0]
    stored.file.write_bytes(skops.io.dumps(model, compression=zipfile.ZIP_DEFLATED))
    with pytest.raises(MalformedPayloadError):
        stored.load(content_hash="", versions=None)


def test_accepts_imports_nothing() -> None:
    program = """
import sys
from artfs.registry.serializers.estimators.serializer import SkopsSerializer
assert not SkopsSerializer().accepts(object()) and not SkopsSerializer().accepts([1, {2}])
assert not {"numpy", "sklearn", "skops", "scipy"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_the_sink_reads_without_copies() -> None:
    """The window behind `dump` is a file of the buffer: any seek and read gives the buffer's bytes."""
    data = bytes(range(256)) * 10
    window = io.BufferedReader(serializer._Window(memoryview(data)), 16)
    for offset, whence, count in ((0, 0, 10), (-10, 2, 20), (100, 0, 50), (-20, 1, 5), (10**6, 0, 3)):
        place = window.seek(offset, whence)
        assert window.read(count) == data[place : place + count]


def test_a_stored_file_is_small(store: Store) -> None:
    """The canonical form is not larger than what skops writes."""
    for obj in (MinMaxScaler().fit(np.eye(3)), [LinearRegression().fit(np.eye(3), [1, 2, 3])] * 3):
        assert store(obj).file.stat().st_size <= len(SkopsFile(obj).data())
