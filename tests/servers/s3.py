"""S3 servers: moto, and Ceph's gateway over a cluster of one, which checks keys and conditions as a real one does."""

from __future__ import annotations

import contextlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

KEY, SECRET = "key-of-tests", "secret-of-tests"
_CEPH = ("ceph", "ceph-mon", "ceph-osd", "radosgw", "radosgw-admin", "monmaptool", "setpriv")
_MOTO = """
import sys, time
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
"""


@dataclass
class S3:
    """A server, and a bucket of it."""

    endpoint: str
    bucket: str = ""

    def client(self) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import boto3
            import botocore.config

            return boto3.client(
                "s3",
                endpoint_url=self.endpoint,
                aws_access_key_id=KEY,
                aws_secret_access_key=SECRET,
                region_name="us-east-1",
                config=botocore.config.Config(s3={"addressing_style": "path"}),
            )

    def in_new_bucket(self, *, versioned: bool = False, public: bool = False) -> S3:
        """Return the same server with a bucket of its own."""
        other = S3(self.endpoint, f"b{uuid.uuid4().hex[:12]}")
        other.make(versioned=versioned, public=public)
        return other

    def make(self, *, versioned: bool = False, public: bool = False) -> None:
        client = self.client()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            client.create_bucket(Bucket=self.bucket, **({"ACL": "public-read"} if public else {}))
            if versioned:
                client.put_bucket_versioning(Bucket=self.bucket, VersioningConfiguration={"Status": "Enabled"})

    def put(self, key: str, data: bytes, **options: Any) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.client().put_object(Bucket=self.bucket, Key=key, Body=data, **options)

    def delete(self, key: str) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.client().delete_object(Bucket=self.bucket, Key=key)

    def allow(self, policy: str) -> None:
        """Give the bucket a policy."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.client().put_bucket_policy(Bucket=self.bucket, Policy=policy)

    def expire(self, rule: str) -> None:
        """Have a rule of the bucket remove objects after a month."""
        rules = [{"ID": rule, "Status": "Enabled", "Filter": {"Prefix": ""}, "Expiration": {"Days": 30}}]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            client = self.client()
            client.put_bucket_lifecycle_configuration(Bucket=self.bucket, LifecycleConfiguration={"Rules": rules})

    def uri(self, key: str = "") -> str:
        return f"s3://{self.bucket}/{key}"

    @property
    def environment(self) -> dict[str, str]:
        return {
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": self.endpoint,
        }


@contextlib.contextmanager
def moto() -> Iterator[S3]:
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", _MOTO],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            yield S3(f"http://127.0.0.1:{int(process.stdout.readline())}")
        finally:
            process.kill()


def ceph_is_missing() -> list[str]:
    return [program for program in _CEPH if shutil.which(program) is None]


@contextlib.contextmanager
def ceph() -> Iterator[S3]:
    """Run a monitor, a storage daemon in memory and a gateway; they have no authentication among themselves."""
    folder = Path(tempfile.mkdtemp(prefix="ceph-"))
    processes: list[subprocess.Popen[bytes]] = []

    def run(*command: str) -> str:
        done = subprocess.run([*command, "-c", str(conf)], capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, f"{command}: {done.stderr}"
        return done.stdout

    def start(*command: str) -> subprocess.Popen[bytes]:
        dying_with_the_tests = ("setpriv", "--pdeathsig", "KILL")
        with (folder / f"{len(processes)}.log").open("wb") as log:
            processes.append(
                subprocess.Popen([*dying_with_the_tests, *command, "-c", str(conf), "-f"], stdout=log, stderr=log)
            )
        return processes[-1]

    conf = folder / "ceph.conf"
    monitor, gateway, ident = _free_port(), _free_port(), str(uuid.uuid4())
    conf.write_text(_conf(folder, ident, monitor, gateway))
    try:
        for name in ("mon", "osd", "run", "rgw"):
            (folder / name).mkdir()
        address = f"[v2:127.0.0.1:{monitor}]"
        run("monmaptool", "--create", "--clobber", "--addv", "a", address, "--fsid", ident, f"{folder}/monmap")
        run("ceph-mon", "--mkfs", "-i", "a", "--monmap", f"{folder}/monmap")
        await_port(monitor, process=start("ceph-mon", "-i", "a"))
        run("ceph", "osd", "new", osd := str(uuid.uuid4()))
        run("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", osd)
        start("ceph-osd", "-i", "0")
        keys = (f"--access-key={KEY}", f"--secret={SECRET}")
        run("radosgw-admin", "user", "create", "--uid=tests", "--display-name=tests", *keys)
        await_port(gateway, process=start("radosgw", "-n", "client.admin"))
        yield S3(f"http://127.0.0.1:{gateway}")
    finally:
        for process in reversed(processes):
            process.send_signal(signal.SIGKILL)
            process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _conf(folder: Path, ident: str, monitor: int, gateway: int) -> str:
    """Return the configuration.

    A gateway left to itself insists on encryption to the monitor, which there is none of without authentication; the
    intervals keep pools, and requests that came before the storage daemon was up, from waiting for seconds.
    """
    return f"""
[global]
fsid = {ident}
mon host = [v2:127.0.0.1:{monitor}]
public addr = 127.0.0.1
cluster addr = 127.0.0.1
ms bind ipv6 = false
auth cluster required = none
auth service required = none
auth client required = none
ms mon client mode = crc
paxos propose interval = 0.05
paxos min wait = 0.01
objecter tick interval = 0.2
osd pool default pg autoscale mode = off
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 4
osd pool default pgp num = 4
osd crush chooseleaf type = 0
mon allow pool size one = true
mon warn on pool no redundancy = false
run dir = {folder}/run
admin socket = {folder}/run/$name.$pid.asok
pid file =
log file = {folder}/$name.log
keyring = /dev/null
mon cluster log file = {folder}/cluster.log
[mon]
mon data = {folder}/mon
mon data avail crit = 1
mon osd down out interval = 100000
[osd]
osd data = {folder}/osd
osd objectstore = memstore
memstore device bytes = 4294967296
osd max object name len = 256
[client.admin]
rgw data = {folder}/rgw
rgw frontends = beast endpoint=127.0.0.1:{gateway}
rgw thread pool size = 32
"""


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def await_port(port: int, seconds: float = 90, process: subprocess.Popen[bytes] | None = None) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            assert time.monotonic() < deadline, f"nothing listens on port {port}"
            assert process is None or process.poll() is None, f"{process.args!r} has ended"
            time.sleep(0.1)
