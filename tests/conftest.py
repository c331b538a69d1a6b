"""What holds for every test: none sees the user's own workspaces, and FUSE that is missing fails where it may not."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from artstore.storage.environment import _open_environments
from servers.fixtures import *  # noqa: F403  # servers outside, for whoever asks for one
from users.fixtures import *  # noqa: F403  # users of the machine, likewise

MOUNT_TESTS = Path(__file__).parent / "mount"


class Carrier(str):
    """A transport by its name; the direct one is carried by the fast lane or not."""

    lane = "0"
    """The value of ``ARTFS_LANE``."""

    def __eq__(self, other: object) -> bool:
        """Return whether it is the transport of that name; two of one name, with and without the lane, differ."""
        return super().__eq__(other) and self.lane == getattr(other, "lane", self.lane)

    __hash__ = str.__hash__


class LaneCarrier(Carrier):
    """The direct transport behind the fast lane."""

    lane = "1"


TRANSPORTS = {"lane": LaneCarrier("direct"), "direct": Carrier("direct"), "pyfuse3": Carrier("pyfuse3")}
"""What carries the kernel's requests; the first is what ``auto`` takes on a kernel that these tests are run on."""

# Examples are the same in every run, and slow machines are no failure: times belong in scripts/bench and scripts/soak.
hypothesis.settings.register_profile("artfs", deadline=None, derandomize=True)
hypothesis.settings.load_profile("artfs")

# A shell that runs the suite in the background has it ignore Ctrl-C, and every process that a test starts would inherit
# that; tests of Ctrl-C would then wait for what cannot come.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark everything under tests/mount as needing FUSE."""
    for item in items:
        if MOUNT_TESTS in item.path.parents:
            item.add_marker("fuse")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run whatever depends on ``transport`` once with each; with the first alone where it makes no difference."""
    if "transport" in metafunc.fixturenames:
        alone = metafunc.definition.get_closest_marker("one_transport")
        names = [name for name in TRANSPORTS if name != "lane" or not metafunc.definition.get_closest_marker("no_lane")]
        names = names[:1] if alone else names
        metafunc.parametrize("transport", [TRANSPORTS[name] for name in names], ids=names, scope="module")


@pytest.fixture(autouse=True)
def chosen_lane(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the processes that a test starts mount with the fast lane or without, as its ``transport`` says."""
    if "transport" in request.fixturenames:
        monkeypatch.setenv("ARTFS_LANE", request.getfixturevalue("transport").lane)


@pytest.fixture(autouse=True)
def nothing_stays_open() -> Iterator[None]:
    """Close the workspaces that a test opened: each takes 1 TiB of addresses, of which a process has 128.

    Tests that limit the addresses of a child need what the child inherits to be small, too.
    """
    before = set(_open_environments)
    yield
    for path in set(_open_environments) - before:
        _open_environments[path].drop()


def fuse_is_missing() -> bool:
    try:
        return not stat.S_ISCHR(os.stat("/dev/fuse").st_mode) or shutil.which("fusermount3") is None
    except FileNotFoundError:
        return True


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test that needs FUSE on a machine without it, but fail it in CI, where a skip would pass unseen."""
    if item.get_closest_marker("fuse") and fuse_is_missing():
        reason = "/dev/fuse or fusermount3 is missing"
        if os.environ.get("CI") == "true":
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)


@pytest.fixture(scope="session", autouse=True)
def settings_of_nobody() -> Iterator[None]:
    """Point every place where artfs looks for a user's settings, workspaces and sockets at an empty folder.

    The folder's path is short, because a socket's path holds 107 bytes.
    """
    with (
        tempfile.TemporaryDirectory(prefix="art-", ignore_cleanup_errors=True) as folder,
        pytest.MonkeyPatch.context() as patch,
    ):
        for variable in ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_RUNTIME_DIR"):
            patch.setenv(variable, folder)
        patch.setenv("XDG_CACHE_HOME", f"{folder}/cache")
        for variable in ("ARTFS_WORKSPACE", "ARTFS_PROJECT", "WANDB_PROJECT"):
            patch.delenv(variable, raising=False)
        yield
