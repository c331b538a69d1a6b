"""Every hostile bundle is refused with one typed error before anything is changed, and nothing of it runs."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

import hostile_payloads
from artfs.registry import ArtifactRecord, ArtifactRegistry, DependencyError, RecordError
from artfs.registry.payloads import Written, digest_of
from artfs.registry.trust import sign
from artstore.errors import ArchiveError, ArtfsError, DamageError
from artstore.storage.environment import Environment
from fs.registry.registries import add, make_registry
from hostile_bundles import Bundle, corpus

REFUSALS = (ArchiveError, DamageError, RecordError, DependencyError)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a bundle of two models and a meta-model of both."""
    folder = tmp_path_factory.mktemp("bundle")
    registry = make_registry(folder)
    models = [add(registry, [n], fold_id=n, params={"n": 1}, custom_name=name) for n, name in enumerate(("one", "two"))]
    ids = [each.artifact_id for each in models]
    registry.register_meta_model([3], None, ids, chain="s1.A>s3.M", custom_name="meta", params={"n": 1})
    registry.export_bundle(folder / "bundle.tar")
    registry.workspace.close()
    Environment.of(registry.workspace.path).drop()
    return folder / "bundle.tar"


@pytest.fixture(scope="module")
def cases(bundle: Path) -> dict[str, bytes]:
    """Return the corpus by name."""
    return dict(corpus(bundle))


def accepted(cases: dict[str, bytes], folder: Path) -> Iterator[str]:
    """Yield the names of the bundles that are not refused as they must be, or that change something."""
    path, target = folder / "x.tar", folder / "target"
    for name, data in cases.items():
        path.write_bytes(data)
        try:
            ArtifactRegistry.import_bundle(path, target)
        except REFUSALS as error:
            if "\n" in str(error) or len(str(error)) > 400 or not isinstance(error, ValueError | OSError):
                yield f"{name}: {error}"
        except ArtfsError as error:
            yield f"{name}: {type(error).__name__}: {error}"
        else:
            yield name
        if sorted(each.name for each in folder.iterdir()) != ["x.tar"]:
            yield f"{name}: something was made"
            return


# The digest of a version's tree is that of what is staged, so a workspace has been made when it is compared.
STAGED = "not the digest of the tree"


def test_every_one_is_refused(cases: dict[str, bytes], tmp_path: Path) -> None:
    """N of N: the names are those that were not refused."""
    assert len(cases) >= 250
    staged = cases[STAGED]
    assert list(accepted({name: data for name, data in cases.items() if name != STAGED}, tmp_path)) == []
    assert not Path("/tmp/artfs-canary").exists() and not (tmp_path.parent / "canary").exists()
    (tmp_path / "x.tar").write_bytes(staged)
    with pytest.raises(ArchiveError, match="the digest in the index"):
        ArtifactRegistry.import_bundle(tmp_path / "x.tar", tmp_path / "target")
    assert ArtifactRegistry(tmp_path / "target", "wheat").get_all_records() == []


def test_hostile_payloads_in_true_bundles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All are imported, because they are what their records say, and none is loaded: nothing of them runs."""
    canary = tmp_path / "canary"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        payloads = [each for each in hostile_payloads.corpus(canary) if each.options.keys() <= {"format_version"}]
    attacker = make_registry(tmp_path / "attacker")
    with attacker.deferred():
        for number, payload in enumerate(payloads):
            file = tmp_path / "payload.x"
            file.write_bytes(payload.data)
            version, digest = payload.options.get("format_version", ""), digest_of(file)
            mac = sign(payload.format, digest)  # as good as the attacker can make it
            written = Written(file, payload.format, version, {}, mac, digest, len(payload.data))
            record = ArtifactRecord(f"0001_pls$abc:{number}", pipeline_id="0001_pls", fold_id=number, dataset="wheat")
            attacker.register_payload(record, written)
    attacker.export_bundle(tmp_path / "x.tar")
    monkeypatch.setenv("ARTFS_KEY_FILE", str(tmp_path / "victim.key"))
    sign("cloudpickle", "blake3:" + "0" * 64)  # the victim has a key
    records = ArtifactRegistry.import_bundle(tmp_path / "x.tar", tmp_path / "target")
    assert len(records) == len(payloads) >= 120
    victim, loaded = ArtifactRegistry(tmp_path / "target", "wheat"), []
    for record in records:
        with contextlib.suppress(ValueError, PermissionError):  # each of ours is one of these
            victim.load_artifact(record)
            loaded.append(payloads[record.fold_id or 0].name)
    assert loaded == [] and not canary.exists()


def test_what_a_refusal_says(cases: dict[str, bytes], tmp_path: Path) -> None:
    """A few are refused for what they are, and not for another mistake of the forger."""
    for name, words in {
        "versions before one another": "versions that depend on one another",
        "101 artifacts in a row": "comes after 100 artifacts",
        "a source of itself": "depends on itself",
        "a record that is of 17 MB": "too long",
        "with an executable payload": "other than plain files",
        "with a payload of another name": "canonical form",
        "sources that are not whole": "does not contain",
        "with other metadata, artfs_mac = '000": "metadata",
        "a source's payload that is another": "payload of",
        "a member ../../canary of type b'0' at the end": "after the end",
    }.items():
        (data,) = [data for each, data in cases.items() if each.startswith(name)]
        (tmp_path / "x.tar").write_bytes(data)
        with pytest.raises(ArtfsError, match=words):
            ArtifactRegistry.import_bundle(tmp_path / "x.tar", tmp_path / "target")


def test_the_forger_forges(bundle: Path, tmp_path: Path) -> None:
    """What it makes of the true parts is the bundle: so a refusal of anything else is for what is changed."""
    assert Bundle.of(bundle).data() == bundle.read_bytes()
    assert len(ArtifactRegistry.import_bundle(bundle, tmp_path / "target")) == 3
