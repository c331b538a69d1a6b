"""Requests go to public addresses, and to others only where this user has allowed it."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from artstore.references.addresses import PrivateAddressError, Reach, is_public
from artstore.references.roots import allow_root
from messages import raises

PRIVATE = [
    *("127.0.0.1", "127.1.2.3", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0"),
    *("192.0.2.1", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255", "::", "::1", "fe80::1", "fe80::1%eth0"),
    *("fc00::1", "fd00::1", "fec0::1", "ff02::1", "2001:db8::1", "::ffff:127.0.0.1", "::ffff:169.254.169.254"),
    *("::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "2002:7f00:1::", "2001:0:7f00:1::", "no address", ""),
]
PUBLIC = ["8.8.8.8", "1.1.1.1", "2606:4700:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::"]


@pytest.fixture(autouse=True)
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("ARTFS_REFERENCE_ROOTS", raising=False)
    return tmp_path / "config" / "artfs" / "reference-roots"


def resolve(monkeypatch: pytest.MonkeyPatch, hosts: dict[str, list[str]]) -> None:
    def found(host: str, port: int, **_: Any) -> list[Any]:
        if host not in hosts:
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        families = [socket.AF_INET6 if ":" in each else socket.AF_INET for each in hosts[host]]
        return [(family, 1, 6, "", (each, port)) for family, each in zip(families, hosts[host], strict=True)]

    monkeypatch.setattr(socket, "getaddrinfo", found)


@pytest.mark.parametrize("address", PRIVATE)
def test_private_addresses(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not is_public(address)
    resolve(monkeypatch, {"h": [address]})
    with raises(PrivateAddressError, names=["http://h/f?token=***", "h"]) as refused:
        Reach("http://h/f?token=x").addresses("h", 80)
    assert "--allow-private" in refused.value.hint and "artfs config reference-roots" in refused.value.hint
    reach = Reach("http://h/f", allow_private=True)
    assert len(reach.addresses("h", 80)) == 1 and [root.uri for root in reach.used] == ["http://h:80"]


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert is_public(address)
    resolve(monkeypatch, {"h": [address]})
    reach = Reach("http://h/f")
    assert reach.addresses("h", 80)[0].address == (address, 80) and not reach.used


def test_of_several_addresses_only_the_permitted_ones_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    resolve(monkeypatch, {"h": ["10.0.0.1", "8.8.8.8", "::1"]})
    assert [peer.address[0] for peer in Reach("http://h/f").addresses("h", 80)] == ["8.8.8.8"]


def test_a_host_that_is_allowed_allows_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    resolve(monkeypatch, {"first": ["10.0.0.1"], "other": ["10.0.0.2"], "public": ["8.8.8.8"]})
    allow_root("http://first:8080/some/path")
    reach = Reach("http://first:8080/f")
    assert reach.addresses("first", 8080) and reach.addresses("first", 443) and reach.addresses("public", 80)
    with pytest.raises(PrivateAddressError):
        reach.addresses("other", 80)
    with pytest.raises(PrivateAddressError):
        Reach("http://first:9090/f").addresses("first", 9090)
    with pytest.raises(PrivateAddressError):  # a redirect from elsewhere to another port of it
        Reach("http://public/f").addresses("first", 443)


@pytest.mark.parametrize("entry", ["http://h:8080", "10.0.0.0/8", "10.0.0.1", "http://x 10.0.0.1/32"])
def test_roots_of_the_environment(entry: str, monkeypatch: pytest.MonkeyPatch) -> None:
    resolve(monkeypatch, {"h": ["10.0.0.1"]})
    monkeypatch.setenv("ARTFS_REFERENCE_ROOTS", entry)
    assert Reach("http://h:8080/f").addresses("h", 8080)


@pytest.mark.parametrize("entry", ["http://h", "https://h:80", "10.0.0.0/33", "junk", "h", "http://[::1", "11.0.0.0/8"])
def test_other_entries_allow_nothing(entry: str, monkeypatch: pytest.MonkeyPatch) -> None:
    resolve(monkeypatch, {"h": ["10.0.0.1"]})
    monkeypatch.setenv("ARTFS_REFERENCE_ROOTS", entry)
    with pytest.raises(PrivateAddressError):
        Reach("http://h:8080/f").addresses("h", 8080)
