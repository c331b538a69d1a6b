"""Attach a new mount to its folder, with the first transport that this kernel supports."""

from __future__ import annotations

import contextlib
import logging
import os
from typing import NamedTuple, Protocol

from artfs.mount import kernel
from artfs.mount.children import Transport
from artfs.mount.configuration import PYFUSE3_INSTALL, TRANSPORTS, Configuration
from artfs.mount.ownership import Shown
from artstore.errors import MountError, UnsupportedError

__all__ = ["Attached", "attach", "device_number"]

_log = logging.getLogger(__name__)


class MakeTransport(Protocol):
    """Make a transport for an attached device; ``uid`` and ``gid`` are shown as the owner of everything."""

    def __call__(self, device: int, *, uid: int, gid: int) -> Transport:
        """Return the transport."""


class Attached(NamedTuple):
    """A mount whose INIT is answered: its device, the transport and its name, and the owner of everything in it."""

    device: int
    name: str
    transport: Transport
    shown: Shown

    def give_up(self, directory: bytes) -> None:
        """Unmount a mount that cannot answer; closing the device fails the requests already made."""
        _give_up(self.device, directory)


def attach(configuration: Configuration) -> Attached:
    """Mount, answer INIT, and return the mount; raises what `kernel.attach` does, or what the last transport lacks."""
    names = TRANSPORTS[configuration.transport]
    source, directory = os.fsencode(configuration.workspace), os.fsencode(configuration.directory)
    shown = Shown.of(configuration.workspace, configuration.owner, configuration.uid, configuration.gid)
    for name in names:
        make_transport = _load_transport(name)
        device = kernel.attach(source, directory, allow_other=configuration.allow_other)
        try:
            transport = make_transport(device, uid=shown.uid, gid=shown.gid)
            transport.answer_init()
            return Attached(device, name, transport, shown)
        except UnsupportedError as error:
            _give_up(device, directory)
            if name == names[-1]:
                raise
            _log.info("%s: mounting with %s instead", error, names[-1])
        except BaseException:
            _give_up(device, directory)
            raise
    raise AssertionError("there is no transport to try")


def _give_up(device: int, directory: bytes) -> None:
    os.close(device)
    with contextlib.suppress(OSError):
        kernel.detach(directory, lazy=True)


def _load_transport(name: str) -> MakeTransport:
    if name == "direct":
        from artfs.mount.transports.direct import DirectTransport

        return DirectTransport
    try:
        from artfs.mount.transports.pyfuse3 import Pyfuse3Transport
    except ImportError as error:
        raise MountError(f"the transport pyfuse3 cannot be loaded: {error}", hint=PYFUSE3_INSTALL) from error
    return Pyfuse3Transport


def device_number(directory: bytes) -> str:
    """Return the device number of a new mount, from the table of mounts: a stat would wait for this process."""
    from artstore.locate import mount_points

    for mount in reversed(mount_points()):
        if os.fsencode(mount.path) == directory and mount.fstype == kernel.FILESYSTEM:
            return mount.device
    raise MountError(f"{os.fsdecode(directory)} does not appear in the table of mounts")
