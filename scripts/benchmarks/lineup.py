"""The participants: programs that are or can be installed take part, the others are named with the reason."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.datasets import DataSets
from benchmarks.installing import install
from benchmarks.keepers import KEEPERS, ArtfsKeeper, Copies, Dvc, Keeper
from benchmarks.peers import PEERS, Passthrough
from benchmarks.processes import SideFailed
from benchmarks.sides import ARTFS, NO_LANE, READAHEAD_OF_USERS, USER, Artfs, Plain, Side

VARIANTS = ("user", "no-lane", "pyfuse3")
"""Variants of artfs: with the kernel's readahead of a user's mount, without the compiled lane, with pyfuse3."""
LANE_OFF = {"ARTFS_LANE": "0"}
PEER_NAMES = tuple(
    sorted({peer.name for peer in PEERS} | {keeper.name for keeper in KEEPERS if keeper not in (Copies, ArtfsKeeper)})
)


def has_lane(side: Artfs) -> bool:
    """Return whether a mount of this side has the compiled lane."""
    if not side.workspace.folder.exists():
        side.folder.mkdir(parents=True, exist_ok=True)
        side.workspace.run("init", side.workspace.folder)
    with side.shown([]):
        return side.has_lane()


@dataclass
class Lineup:
    """The sides that show data sets, the keepers of versions, their versions, and the reasons for absences."""

    sides: list[Side] = field(default_factory=list)
    keepers: list[type[Keeper]] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)

    @property
    def stores(self) -> int:
        """Return the number of stores that hold all data to read; sides of artfs share one."""
        return len({side.folder for side in self.sides if not isinstance(side, Plain | Passthrough)})

    def add_sides(
        self, data: DataSets, folder: Path, transport: str, variants: Collection[str], peers: Collection[str]
    ) -> None:
        """Add the plain folder, artfs, these variants of it, and these peers."""
        place = folder / "artfs"
        artfs = Artfs(data, place, transport)
        self.sides = [Plain(data, folder / "plain"), artfs]
        if "user" in variants:
            readahead = READAHEAD_OF_USERS
            self.sides.append(Artfs(data, place, transport, variant=USER.split()[1], readahead=readahead))
        if "no-lane" in variants:
            self.sides.append(Artfs(data, place, transport, variant=NO_LANE.split()[1], settings=LANE_OFF))
        if "pyfuse3" in variants and transport == "auto":
            self.sides.append(Artfs(data, place, "pyfuse3", variant="pyfuse3"))
        for peer in PEERS:
            if peer.name in peers and self.can_be_had(peer.name, peer.packages):
                side = peer(data, folder / peer.name)
                self.versions[peer.name] = side.version()
                self.sides.append(side)

    def check_lane(self) -> str:
        """Mount artfs and its variant without the compiled lane; return which has it.

        The variant is left out if the default mount has no lane either. Raises `SideFailed` if it has one.
        """
        sides = {side.name: side for side in self.sides if side.name in (ARTFS, NO_LANE)}
        found = {name: has_lane(side) for name, side in sides.items() if isinstance(side, Artfs)}
        if found.get(NO_LANE):
            raise SideFailed(f"{NO_LANE} has a lane although {LANE_OFF} is in its environment")
        if not found[ARTFS] and NO_LANE in found:
            self.sides = [side for side in self.sides if side.name != NO_LANE]
            self.left_out[f"everything: {NO_LANE}"] = "the default mount has no lane either"
        return "on" if found[ARTFS] else "off"

    def add_keepers(self, directory: Path, peers: Collection[str]) -> None:
        """Add a plain copy, artfs, and these peers; DVC is installed in ``directory``."""
        self.keepers = [Copies, ArtfsKeeper]
        for keeper in KEEPERS:
            if keeper.name in peers and self.can_be_had(keeper.name, keeper.packages):
                try:
                    if keeper is Dvc:
                        Dvc.install(directory / "dvc")
                    self.versions[keeper.name] = keeper(directory).version()
                    self.keepers.append(keeper)
                except SideFailed as failure:
                    self.left_out[f"puts: {keeper.name}"] = str(failure)

    def can_be_had(self, name: str, packages: Collection[str]) -> bool:
        """Install a peer's packages if needed; return whether they are installed."""
        why = install(sorted(packages))
        if why:
            self.left_out[f"everything: {name}"] = why
        return not why
