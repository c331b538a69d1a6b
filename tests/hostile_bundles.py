"""A corpus of hostile bundles: what an attacker can make of a true one, with digests, sums and headers that go with it.

Each is refused before anything is imported.  What takes other bytes of an archive is in `tests/store/archives`.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from artstore.archives.index import ArchivedEntry, ArchivedVersion
from artstore.ids import content_id
from forged_archives import archive_bytes, contents_of, versions_of

__all__ = ["Bundle", "corpus"]

Change = Callable[[dict[str, Any]], object]


@dataclass
class Bundle:
    """A bundle in parts: its versions, and contents by digest."""

    versions: list[ArchivedVersion]
    contents: dict[bytes, bytes]

    @classmethod
    def of(cls, path: Path) -> Bundle:
        """Return the parts of a bundle."""
        return cls(versions_of(path), contents_of(path))

    def copy(self) -> Bundle:
        """Return the same parts, to be changed."""
        return Bundle(list(self.versions), dict(self.contents))

    def data(self) -> bytes:
        """Return the bundle."""
        return archive_bytes(self.versions, self.contents)

    def find(self, beginning: str) -> int:
        """Return the place of the one version whose custom name is given."""
        (place,) = [
            place for place, each in enumerate(self.versions) if each.metadata.get("artfs.name", "") == beginning
        ]
        return place

    def entry(self, content: bytes, path: bytes, **options: Any) -> ArchivedEntry:
        """Return the entry of a content, which is added."""
        digest = content_id(content)
        self.contents[digest] = content
        return ArchivedEntry(path, digest, len(content), **options)

    def set(self, place: int, path: bytes, content: bytes | None, **options: Any) -> None:
        """Set or remove a file of a version."""
        entries = [each for each in self.versions[place].entries if each.path != path]
        if content is not None:
            entries.append(self.entry(content, path, **options))
        self.versions[place] = replace(self.versions[place], entries=tuple(sorted(entries)))

    def read(self, place: int, path: bytes) -> bytes:
        """Return a file of a version."""
        (entry,) = [each for each in self.versions[place].entries if each.path == path]
        return self.contents[entry.digest]


def written(values: Mapping[str, Any]) -> bytes:
    """Return a record as records are written."""
    return json.dumps(values, sort_keys=True, ensure_ascii=False, indent=1).encode("utf-8", "surrogatepass") + b"\n"


def with_record(base: Bundle, place: int, change: Change, folder: bytes = b"") -> bytes:
    """Return a bundle in which a record differs."""
    bundle = base.copy()
    values = json.loads(bundle.read(place, folder + b"record.json"))
    change(values)
    bundle.set(place, folder + b"record.json", written(values))
    return bundle.data()


def with_version(base: Bundle, place: int, **changes: Any) -> bytes:
    """Return a bundle in which a version's line differs."""
    bundle = base.copy()
    bundle.versions[place] = replace(bundle.versions[place], **changes)
    return bundle.data()


def with_details(metadata: Mapping[str, Any], **details: Any) -> dict[str, Any]:
    """Return metadata with other details."""
    changed = {**dict(metadata["artfs.details"]), **details}
    return {**metadata, "artfs.details": [[key, changed[key]] for key in sorted(changed)]}


def with_metadata(base: Bundle, place: int, **changes: Any) -> bytes:
    """Return a bundle in which metadata differ."""
    changed = {key.replace("_", ".", 1): value for key, value in changes.items()}
    return with_version(base, place, metadata={**base.versions[place].metadata, **changed})


def with_file(base: Bundle, place: int, path: bytes, content: bytes | None, **options: Any) -> bytes:
    """Return a bundle in which a file differs, is missing or is more."""
    bundle = base.copy()
    bundle.set(place, path, content, **options)
    return bundle.data()


def corpus(path: Path) -> Iterator[tuple[str, bytes]]:
    """Yield hostile variants of a bundle that has the models ``one``, ``two`` and the meta-model ``meta``."""
    base = Bundle.of(path)
    yield from _versions(base)
    yield from _details(base)
    yield from _records(base)
    yield from _dependences(base)
    yield from _members(path)


def _versions(base: Bundle) -> Iterator[tuple[str, bytes]]:
    one, version = base.find("one"), base.versions[base.find("one")]
    yield "not the digest of the tree", with_version(base, one, digest="0" * 64)
    yield "under another name", with_version(base, one, name="runs/wheat/0001_pls/000000000000/0:v0")
    yield "in another data set", with_version(base, one, name=version.name.replace("wheat", "barley"))
    yield "outside of runs", with_version(base, one, name="library/templates/x:v0")
    yield "with another type", with_version(base, one, type="transformer")
    yield "without a type", with_version(base, one, type=None)
    yield "without a record", with_file(base, one, b"record.json", None)
    yield "without a payload", with_file(base, one, b"payload.json", None)
    yield "with another file", with_file(base, one, b"more", b"1")
    yield (
        "with a file named as a hook",
        with_file(base, one, b".git/hooks/post-checkout", b"#!/bin/sh\n", executable=True),
    )
    yield (
        "with an executable payload",
        with_file(base, one, b"payload.json", base.read(one, b"payload.json"), executable=True),
    )
    yield "with a payload of another name", _renamed(base, one, "x")
    yield "with a payload without an extension", _renamed(base, one, "payload.")
    yield "with a second payload", with_file(base, one, b"payload.pkl", b"cos\nsystem\n.")
    yield "with sources that it has not", with_file(base, one, b"sources/0/record.json", b"{}")
    yield "with a name that is not text", with_file(base, one, b"\xff", b"1")
    yield "with another payload", with_file(base, one, b"payload.json", b"[6]")
    yield "empty", with_version(base, one, entries=(ArchivedEntry(b"", is_directory=True),))
    link = ArchivedEntry(b"payload.json", target=b"record.json")
    kept = tuple(each for each in version.entries if each.path != link.path)
    yield "with a link as payload", with_version(base, one, entries=(link, *kept))
    yield (
        "with an empty directory",
        with_version(base, one, entries=(*version.entries, ArchivedEntry(b"z", is_directory=True))),
    )
    for key, value in [
        ("artfs_id", "0001_pls$000000000000:0"),
        ("artfs_content", "blake3:" + "0" * 64),
        ("artfs_params", {"n": 9}),
        ("artfs_metrics", {"rmse": 0}),
        ("artfs_class", "Other"),
        ("artfs_size", 1 << 60),
        ("artfs_step", True),
        ("artfs_payload", "../../x"),
        ("artfs_libraries", ["sklearn"]),
        ("artfs_libraries", {"sklearn": 1}),
        ("artfs_format", "cloudpickle"),
        ("artfs_mac", "0" * 64),
        ("artfs_macs", {"0": "0" * 64}),
        ("artfs_depth", 3),
        ("artfs_more", 1),
    ]:
        yield f"with other metadata, {key} = {value!r}"[:60], with_metadata(base, one, **{key: value})

    deep: object = 1
    for _ in range(200):
        deep = [deep]
    yield "with metadata of 200 levels", with_metadata(base, one, note=deep)


def _details(base: Bundle) -> Iterator[tuple[str, bytes]]:
    one = base.find("one")
    metadata = base.versions[one].metadata
    for details in (
        {"payload": "../../x"},
        {"libraries": ["sklearn"]},
        {"libraries": {"sklearn": 1}},
        {"format": "cloudpickle"},
        {"mac": "0" * 64},
        {"more": 1},
        {"id": "0001_pls$000000000000:0"},
    ):
        changed = with_details(metadata, **details)
        yield f"with other details, {details!r}"[:60], with_version(base, one, metadata=changed)
    for pairs in (None, 1, "ab", [], [["payload"]], [[1, 2]], {"payload": "x"}, metadata["artfs.details"] * 2):
        changed = {**metadata, "artfs.details": pairs}
        yield f"with the details {pairs!r}"[:60], with_version(base, one, metadata=changed)


def _records(base: Bundle) -> Iterator[tuple[str, bytes]]:
    one = base.find("one")
    content = base.read(one, b"record.json")
    for name, text in [
        ("empty", b""),
        ("not JSON", b"{"),
        ("a list", b"[]"),
        ("a number", b"7"),
        ("not UTF-8", b"\xff\xfe"),
        ("in another spelling", content.replace(b"\n ", b"\n  ")),
        ("with a key twice", content.replace(b'"params"', b'"payload": "x",\n "params"')),
        ("with NaN", content.replace(b'"n": 1', b'"n": NaN')),
        ("with infinity", content.replace(b'"n": 1', b'"n": 1e999')),
        ("nested", content.replace(b'"n": 1', b'"n": ' + b"[" * 50_000 + b"]" * 50_000)),
        ("with many digits", content.replace(b'"n": 1', b'"n": ' + b"1" * 9_000)),
        ("of 17 MB", content.replace(b'"n": 1', b'"n": "' + b"x" * (17 << 20) + b'"')),
    ]:
        yield f"a record that is {name}", with_file(base, one, b"record.json", text)
    changes: dict[str, Change] = {
        "without an id": lambda record: record.pop("artifact_id"),
        "without a payload": lambda record: record.pop("payload"),
        "with an unknown key": lambda record: record.update(more=1),
        "with a time": lambda record: record.update(created_at="2026"),
        "with a place": lambda record: record.update(place="../"),
        "with a MAC": lambda record: record.update(mac="0" * 64),
    }
    for key, values in {
        "artifact_id": [3, "", "x", "0001_pls$../..:0", "..$abc:0", "0001_pls$abc:0"],
        "artifact_type": ["", "script", 3],
        "payload": [
            "",
            "x",
            3,
            "payload",
            "payload./x",
            "../payload.json",
            "/etc/passwd",
            "record.json",
            "payload.pkl",
        ],
        "content_hash": ["", "blake3:00", "sha256:" + "0" * 64, 3],
        "size_bytes": [0, -1, 4, 1 << 70, True, 1.5],
        "dataset": ["", "best_predictions", "../wheat", "barley", ".hidden", 3],
        "pipeline_id": ["", "0002", 3],
        "fold_id": [1, None, "0", -1, True],
        "chain_path": ["s1.A>", "s1.A >s2.B", "x" * 100, 3],
        "step_index": [-1, "2", None],
        "branch_path": [[-1], "0", [True], None],
        "depends_on": [["0001_pls$65b73b937443:9"], "x", [3]],
        "sources": [[{}], [{"artifact_id": "x", "digest": "y"}], "x", [3], [[]]],
        "params": [[], 3, None],
        "meta_config": [3, {"source_models": 3}, {"source_models": [{"artifact_id": "x"}], "feature_columns": []}],
        "version": ["3", -1],
        "format": [3, None],
    }.items():
        for value in values:
            changes[f"with {key} = {value!r}"[:70]] = lambda record, key=key, value=value: record.update({key: value})
    for name, change in changes.items():
        yield f"a record {name}", with_record(base, one, change)


def _renamed(base: Bundle, place: int, name: str) -> bytes:
    """Return a bundle in which a payload has another name everywhere."""
    bundle = base.copy()
    values = {**json.loads(bundle.read(place, b"record.json")), "payload": name}
    bundle.set(place, name.encode(), bundle.read(place, b"payload.json"))
    bundle.set(place, b"payload.json", None)
    bundle.set(place, b"record.json", written(values))
    metadata = with_details(bundle.versions[place].metadata, payload=name)
    bundle.versions[place] = replace(bundle.versions[place], metadata=metadata)
    return bundle.data()


def _dependences(base: Bundle) -> Iterator[tuple[str, bytes]]:
    meta = base.find("meta")
    yield "a source's payload that is another", with_file(base, meta, b"sources/0/payload.json", b"[6]")
    yield "a source's payload that is missing", with_file(base, meta, b"sources/0/payload.json", None)
    yield "a source's record that is missing", with_file(base, meta, b"sources/1/record.json", None)
    yield (
        "a source's record that is another",
        with_record(base, meta, lambda record: record["params"].update(n=7), b"sources/0/"),
    )
    yield (
        "a source's record that has more",
        with_record(base, meta, lambda record: record.update(more=1), b"sources/0/"),
    )
    yield "a source too many", with_file(base, meta, b"sources/2/payload.json", b"1")
    yield "a number of a source that is none", with_file(base, meta, b"sources/00/record.json", b"1")
    sources: dict[str, Change] = {
        "a source less": lambda record: record["sources"].pop(),
        "a source twice": lambda record: record["sources"].append(record["sources"][0]),
        "sources in another order": lambda record: record["sources"].reverse(),
        "another id of a source": lambda record: record["sources"][0].update(artifact_id="0001_pls$abc:0"),
        "another digest of a source": lambda record: record["sources"][0].update(digest="blake3:" + "0" * 64),
        "another key of a source": lambda record: record["sources"][0].update(more=1),
        "a dependence twice": lambda record: record["depends_on"].append(record["depends_on"][0]),
        "a dependence more": lambda record: record["depends_on"].append("0001_pls$abc:0"),
        "a model of the meta-model more": lambda record: record["meta_config"]["source_models"].append(
            {"artifact_id": "0001_pls$abc:0"}
        ),
    }
    for name, change in sources.items():
        yield name, with_record(base, meta, change)
    yield "101 artifacts in a row", _row(base, 101)
    yield "800 artifacts in a row", _row(base, 800)
    yield (
        "a source of itself",
        _row(base, 1, ident=json.loads(base.read(base.find("one"), b"record.json"))["artifact_id"]),
    )
    yield "sources that are not whole", _row(base, 3, whole=False)
    yield "versions before one another", _cycle(base)


def _row(base: Bundle, count: int, *, ident: str = "", whole: bool = True) -> bytes:
    """Return a bundle of an artifact that comes after so many in a row, all of which are in its folder."""
    bundle = base.copy()
    one = bundle.find("one")
    values = json.loads(bundle.read(one, b"record.json"))
    row: list[tuple[dict[str, str], bytes]] = []
    for number in range(count):
        name = ident or f"0001_pls$abc:{number}"
        below = [each for each, _ in row[-1:]]
        record = {
            **values,
            "artifact_id": name,
            "depends_on": [each["artifact_id"] for each in below],
            "sources": below,
        }
        content = written(record)
        row.append(({"artifact_id": name, "digest": f"blake3:{content_id(content).hex()}"}, content))
    row = row if whole else row[1:]
    sources = [each for each, _ in reversed(row)]
    for place, (_, content) in enumerate(reversed(row)):
        bundle.set(one, b"sources/%d/record.json" % place, content)
        bundle.set(one, b"sources/%d/payload.json" % place, bundle.read(one, b"payload.json"))
    bundle.set(one, b"record.json", written({**values, "depends_on": [sources[0]["artifact_id"]], "sources": sources}))
    return bundle.data()


def _cycle(base: Bundle) -> bytes:
    """Return a bundle in which the first version of each of two depends on the second version of the other."""
    bundle = base.copy()
    second = [bundle.versions[bundle.find(name)] for name in ("one", "two")]
    bundle.versions = []
    for own, other in (second, second[::-1]):
        part = Bundle([own, other], bundle.contents)
        source = part.read(1, b"record.json")
        ident, digest = json.loads(source)["artifact_id"], f"blake3:{content_id(source).hex()}"
        sources = [{"artifact_id": ident, "digest": digest}]
        values = {**json.loads(part.read(0, b"record.json")), "depends_on": [ident], "sources": sources}
        part.set(0, b"record.json", written(values))
        part.set(0, b"sources/0/record.json", source)
        part.set(0, b"sources/0/payload.json", part.read(1, b"payload.json"))
        metadata = with_details(own.metadata, depends_on=[ident], sources=[[ident, digest]])
        bundle.versions.append(replace(part.versions[0], metadata={**metadata, "artfs.depth": 1}))
    bundle.versions += [replace(each, name=each.name.replace(":v0", ":v1")) for each in second]
    return bundle.data()


def _members(path: Path) -> Iterator[tuple[str, bytes]]:
    """Yield a bundle with members that its index does not have."""
    data = path.read_bytes()
    for kind in (tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE):
        for name in ("../../canary", "/tmp/artfs-canary", "artfs-archive/versions/x/v0/a"):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd" if kind in (tarfile.SYMTYPE, tarfile.LNKTYPE) else ""
            yield f"a member {name} of type {kind!r} at the end", data[:-1024] + info.tobuf() + bytes(1024)
            yield f"a member {name} of type {kind!r} at the beginning", info.tobuf() + data
    made = io.BytesIO()
    with tarfile.open(fileobj=io.BytesIO(data)) as source, tarfile.open(fileobj=made, mode="w") as target:
        for member in source:
            target.addfile(member, source.extractfile(member) if member.isreg() else None)
    yield "packed again by another program", made.getvalue()
    for length in (0, 100, 512, 2000, len(data) // 3, len(data) // 2, len(data) - 1):
        yield f"cut after {length}", data[:length]
    for place in range(0, len(data), 257):
        yield f"a flipped bit at {place}", data[:place] + bytes([data[place] ^ 16]) + data[place + 1 :]
