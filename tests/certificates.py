"""Certificates for tests: a cluster's, made once, and others of which something is wrong."""

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path

from configs.certificates import CA, CA_KEY, Certificates, read_certificates
from configs.new_certificates import FILES, _make, _sign, make_certificates
from configs.schema.wires import LOOPBACK


@cache
def cluster_folder() -> Path:
    """The folder of a cluster's certificates, the same for all tests of this process."""
    place = Path(tempfile.mkdtemp(prefix="perfuse-test-"))
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    return make_certificates(place / "certs").folder


def of_cluster() -> Certificates:
    return read_certificates(cluster_folder(), LOOPBACK)


def made_apart(folder: Path, *, names: str = f"IP:{LOOPBACK}", days: int = 1) -> Path:
    """Another cluster's; `days` -1: they have expired a day ago."""
    openssl = shutil.which("openssl")
    assert openssl is not None, "these tests need the openssl command"
    folder.mkdir(mode=0o700)
    _make(openssl, folder, names, days)
    return folder


def with_our_authority(folder: Path) -> Path:
    """It believes the cluster's nodes, which do not believe it."""
    shutil.copy(cluster_folder() / CA, folder / CA)
    return folder


def signed_by_ours(folder: Path, *, names: str = f"IP:{LOOPBACK}", days: int = 1) -> Path:
    """Of the cluster, but for the names or the days."""
    openssl = shutil.which("openssl")
    assert openssl is not None, "these tests need the openssl command"
    folder.mkdir(mode=0o700)
    for name in (CA, CA_KEY):
        shutil.copy(cluster_folder() / name, folder / name)
    _sign(openssl, folder, names, days)
    return folder


def unchecked(folder: Path) -> Certificates:
    """As a node would have them that does not look at them first."""
    ca, _, certificate, key = (folder / name for name in FILES)
    return Certificates(
        folder, ca.read_bytes(), certificate.read_bytes(), key.read_bytes(), "a day"
    )
