"""What `perfuse certs FOLDER` does: an authority of the cluster's own, and what a node shows.

Made by the `openssl` command; nothing of it is needed where a cluster runs, but the folder.
"""

import ipaddress
import os
import re
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from configs.certificates import CA, CA_KEY, CERTIFICATE, KEY, Certificates, read_certificates
from configs.schema.wires import LOOPBACK

HOSTS = ("localhost", LOOPBACK, "::1")  # what every certificate is for
DAYS_MAX = 3650
FILES = (CA, CA_KEY, CERTIFICATE, KEY)
OPENSSL_S = 60
_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")
_CURVE = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
_CONFIG_FILE = "openssl.cnf"
# One authority signs nodes and no further authority; a node is server and client alike.
_CONFIG = """
[req]
distinguished_name = dn
[dn]
[authority]
basicConstraints = critical, CA:TRUE, pathlen:0
keyUsage = critical, keyCertSign
subjectKeyIdentifier = hash
[node]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth, clientAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
subjectAltName = {names}
"""


def make_certificates(
    folder: Path, hosts: Sequence[str] = (), *, days: int = 365, overwrite: bool = False
) -> Certificates:
    """Make a cluster's certificates, for `hosts` beside HOSTS; files are 0600, the folder 0700.

    Raises ValueError on a folder that is in the way, a host that is none, or without `openssl`.
    """
    if not 1 <= days <= DAYS_MAX:
        raise ValueError(f"--days {days}: must be from 1 to {DAYS_MAX}")
    names = ", ".join(dict.fromkeys(_named(host) for host in (*HOSTS, *hosts)))
    openssl = shutil.which("openssl")
    if openssl is None:
        raise ValueError(
            "there is no `openssl` command here, which makes the keys: install the package openssl"
        )
    _check_free(folder, overwrite)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    with tempfile.TemporaryDirectory(prefix=".making-", dir=folder) as place:
        _make(openssl, Path(place), names, days)
        for name in FILES:
            os.replace(Path(place) / name, folder / name)
    return read_certificates(folder, LOOPBACK)


def _named(host: str) -> str:
    """As OpenSSL wants it. Raises ValueError for what is neither a name nor an address."""
    try:
        return f"IP:{ipaddress.ip_address(host)}"
    except ValueError:
        if _NAME.fullmatch(host) and not re.fullmatch(r"[0-9.]+", host):
            return f"DNS:{host}"
    raise ValueError(f"--host {host!r}: must be a host's name or an IP address, as gpu-7.lab")


def _check_free(folder: Path, overwrite: bool) -> None:
    if not folder.exists() and not folder.is_symlink():
        return
    if not folder.is_dir():
        raise ValueError(f"{folder}: is no folder: name one that is not there yet")
    found = {path.name for path in folder.iterdir()}
    if others := found - set(FILES):
        raise ValueError(
            f"{folder}: holds {sorted(others)[0]!r}, which is no certificate: name another folder"
        )
    if found and not overwrite:
        raise ValueError(
            f"{folder}: has certificates already: with --overwrite there are new ones, and nodes "
            "with the old ones are of another cluster then"
        )


def _make(openssl: str, place: Path, names: str, days: int) -> None:
    subject = f"/CN=perfuse cluster {secrets.token_hex(4)}"  # so that two can be told apart
    words = ("-keyout", CA_KEY, "-out", CA, "-days", str(days), "-subj", subject)
    _run(openssl, place, names, "req", "-x509", *_CURVE, *words, "-extensions", "authority")
    _sign(openssl, place, names, days)


def _sign(openssl: str, place: Path, names: str, days: int) -> None:
    """A node's certificate, and its key, by the authority that is there."""
    request, serial = "request.pem", f"0x{secrets.token_hex(16)}"
    asked = ("-keyout", KEY, "-out", request, "-subj", "/CN=perfuse node")
    _run(openssl, place, names, "req", "-new", *_CURVE, *asked)
    signed = ("-in", request, "-out", CERTIFICATE, "-days", str(days), "-set_serial", serial)
    signer = ("-CA", CA, "-CAkey", CA_KEY, "-extfile", _CONFIG_FILE, "-extensions", "node")
    _run(openssl, place, names, "x509", "-req", *signed, *signer)
    (place / request).unlink()
    (place / _CONFIG_FILE).unlink()


def _run(openssl: str, place: Path, names: str, *words: str) -> None:
    config = place / _CONFIG_FILE
    config.write_text(_CONFIG.format(names=names))
    done = subprocess.run(
        [openssl, *words],
        cwd=place,
        env={**os.environ, "OPENSSL_CONF": str(config.absolute())},
        umask=0o077,
        capture_output=True,
        text=True,
        timeout=OPENSSL_S,
    )
    if done.returncode:
        raise ValueError(f"openssl {words[0]} failed: {done.stderr.strip()[-400:]}")
