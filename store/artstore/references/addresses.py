"""Which addresses references may lead to: public ones, and those that this user has allowed.

Another user may have made a version, and servers choose their answers: neither may make this process send requests
to this machine or its private network.  What the user allows is in `artstore.references.roots`.
"""

from __future__ import annotations

import ipaddress
import socket
from typing import Any, Final, NamedTuple

from artstore.errors import OutsideError
from artstore.records.uris import shown_uri
from artstore.references.roots import Root, allowed_roots, root_of

__all__ = ["Peer", "PrivateAddressError", "Reach", "is_public"]

_NAT64: Final = (ipaddress.ip_network("64:ff9b::/96"), ipaddress.ip_network("64:ff9b:1::/48"))

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class PrivateAddressError(OutsideError):
    """Raised when a URI or a redirect leads to an address that is not public and not allowed."""


class Peer(NamedTuple):
    """What a socket is made of and connected to."""

    family: int
    kind: int
    address: Any


def is_public(address: str) -> bool:
    """Return whether an IP address belongs to the public internet, and so does the one that it embeds, if any."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    embedded = _embedded(parsed)
    if embedded is not None:
        return is_public(str(embedded))
    is_special = parsed.is_private or parsed.is_loopback or parsed.is_link_local or parsed.is_multicast
    is_site_local = isinstance(parsed, ipaddress.IPv6Address) and parsed.is_site_local
    return parsed.is_global and not (is_special or is_site_local or parsed.is_reserved or parsed.is_unspecified)


def _embedded(address: _Address) -> ipaddress.IPv4Address | None:
    """Return the IPv4 address to which packets for an IPv6 address are translated or tunnelled."""
    if isinstance(address, ipaddress.IPv4Address):
        return None
    if any(address in network for network in _NAT64) or (int(address) >> 32 == 0 and int(address) > 1):
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)


class Reach:
    """Decides to which addresses the requests for one URI may go: first to its host, then where redirects lead.

    With ``allow_private`` every address is permitted.  Otherwise these are: public ones, those of allowed roots, and if
    the URI's own root is allowed, its host.
    """

    def __init__(self, uri: str, *, allow_private: bool = False) -> None:
        self._shown = shown_uri(uri)
        self._first = root_of(uri)
        self._allow_private = allow_private
        self.used: set[Root] = set()
        """The roots with private addresses that were permitted."""

    def addresses(self, host: str, port: int) -> list[Peer]:
        """Return the permitted addresses of a host, in the order of preference.

        Raises `PrivateAddressError` if it has addresses but none is permitted, OSError if it has none.
        """
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        roots = allowed_roots()
        permitted = [
            Peer(family, kind, address)
            for family, kind, _, _, address in found
            if self._permits(host, port, str(address[0]), roots)
        ]
        if found and not permitted:
            address = str(found[0][4][0])
            where = host if host.strip("[]") == address else f"{host} ({address})"
            raise PrivateAddressError(
                f"{self._shown} leads to {where}, which is not a public address",
                hint="if meant: --allow-private, artfs config reference-roots add URI, or ARTFS_REFERENCE_ROOTS",
            )
        return permitted

    def _permits(self, host: str, port: int, address: str, roots: list[str]) -> bool:
        if is_public(address):
            return True
        root = Root(host.strip("[]").lower(), port)
        is_listed = any(_covers(entry, root, address) for entry in roots)
        is_first_host = self._first is not None and root.host == self._first.host
        first_is_listed = is_first_host and any(root_of(entry) == self._first for entry in roots)
        if not (self._allow_private or is_listed or first_is_listed):
            return False
        self.used.add(root)
        return True


def _covers(entry: str, root: Root, address: str) -> bool:
    """Return whether an entry of the list of roots allows an address of a root."""
    if "://" in entry:
        return root_of(entry) == root
    try:
        return ipaddress.ip_address(address.partition("%")[0]) in ipaddress.ip_network(entry, strict=False)
    except ValueError:
        return False
