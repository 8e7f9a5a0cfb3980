"""A cluster's certificates: a folder that `perfuse certs` makes, read and checked before anything
starts.

    ca.crt     the cluster's own authority: who has a certificate that it signed is of the cluster
    ca.key     signs further certificates; no node needs it
    node.crt   what a node shows to every other, for the names and addresses in it
    node.key   proves that it is its own

Certificate and key are tried on each other, in a handshake of this process with itself: what it
refuses a peer would refuse too.
"""

import ssl
import stat
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from configs.outside import MIB, read_file

CA, CA_KEY, CERTIFICATE, KEY = "ca.crt", "ca.key", "node.crt", "node.key"
# OpenSSL's X509_V_FLAG_NO_CHECK_TIME: dates are looked at apart, to be named.
_NO_CHECK_TIME = 0x200000
_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_TURNS = 10  # of a handshake within one process: it needs three


@dataclass(frozen=True, slots=True)
class Certificates:
    """What a node shows and whom it believes, in PEM; `until` is the last day of it."""

    folder: Path
    ca: bytes
    certificate: bytes
    key: bytes = field(repr=False)
    until: str

    def context(self, protocol: int) -> ssl.SSLContext:
        """The same for Python's own TLS: shows the certificate, and believes the authority alone.

        Raises ValueError where the files are none or do not fit each other.
        """
        context = ssl.SSLContext(protocol)
        context.verify_mode = ssl.CERT_REQUIRED
        try:
            context.load_verify_locations(cadata=self.ca.decode("ascii", "replace"))
        except (ssl.SSLError, ValueError) as error:  # ValueError: an empty file
            raise ValueError(f"{self.folder / CA}: is no certificate in PEM: {error}") from error
        chain, key = self.folder / CERTIFICATE, self.folder / KEY
        try:
            context.load_cert_chain(chain, key, password=lambda: "")  # asks nobody for one
        except ssl.SSLError as error:
            raise ValueError(f"{self.folder}: {_misfit(error)}") from error
        return context


def read_certificates(folder: Path, host: str) -> Certificates:
    """Those of the nodes of a cluster that listen on `host`.

    Raises ValueError, with the file, what is wrong with it and what would be right.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder}: there is no such folder: `perfuse certs {folder}` makes it")
    files = {name: _read(folder / name) for name in (CA, CERTIFICATE, KEY)}
    for name in (KEY, CA_KEY):
        _check_private(folder / name)
    found = Certificates(folder, files[CA], files[CERTIFICATE], files[KEY], "")
    authority, shown = _rehearsed(found, host)
    until = min(_checked_dates(folder / CA, authority), _checked_dates(folder / CERTIFICATE, shown))
    day = time.strftime("%Y-%m-%d", time.gmtime(until))
    return Certificates(folder, files[CA], files[CERTIFICATE], files[KEY], day)


def refusal(error: ssl.SSLCertVerificationError) -> str:
    """What is wrong with a certificate that was not believed."""
    said = error.verify_message.rstrip(".")
    if error.verify_code in (7, 18, 19, 20, 21):  # in OpenSSL's words: who signed it is not known
        return f"it was not signed by this cluster's authority ({said})"
    return said


def _read(path: Path) -> bytes:
    try:
        return read_file(path, MIB)
    except FileNotFoundError:
        raise ValueError(
            f"{path}: is missing: a cluster's folder has {CA}, {CERTIFICATE} and {KEY}, as "
            "`perfuse certs` makes them"
        ) from None


def _check_private(path: Path) -> None:
    if path.exists() and (mode := stat.S_IMODE(path.stat().st_mode)) & _OTHERS:
        raise ValueError(
            f"{path}: others than its owner may use it (mode {mode:04o}): chmod 600 {path}, and "
            "make new certificates if somebody could have read it"
        )


def _rehearsed(found: Certificates, host: str) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """The authority's and the node's certificate, as Python tells them, without their dates' being
    looked at. Raises ValueError where nodes would not believe each other.
    """
    sides = [found.context(p) for p in (ssl.PROTOCOL_TLS_CLIENT, ssl.PROTOCOL_TLS_SERVER)]
    for side in sides:
        side.verify_flags |= _NO_CHECK_TIME
    authorities = sides[0].get_ca_certs()
    if not authorities:
        raise ValueError(f"{found.folder / CA}: is no authority: it may not sign certificates")
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = sides[0].wrap_bio(back, there, server_hostname=host)
    server = sides[1].wrap_bio(there, back, server_side=True)
    try:
        for _ in range(_TURNS):
            done = [_goes_on(end) for end in (client, server)]
            if all(done):
                break
    except ssl.SSLCertVerificationError as error:
        raise ValueError(f"{found.folder / CERTIFICATE}: {refusal(error)}") from error
    except ssl.SSLError as error:
        raise ValueError(f"{found.folder}: no two nodes could connect: {error}") from error
    shown = client.getpeercert()
    assert shown, "a certificate that was believed is told"
    return authorities[0], shown


def _goes_on(end: ssl.SSLObject) -> bool:
    """One end's next part of a handshake; whether it is done."""
    try:
        end.do_handshake()
    except ssl.SSLWantReadError:
        return False
    return True


def _misfit(error: ssl.SSLError) -> str:
    if error.reason == "KEY_VALUES_MISMATCH":
        return f"{KEY} is not the key of {CERTIFICATE}: they must come from the same making"
    return f"{CERTIFICATE} or {KEY} is not in PEM, or has a password: {error}"


def _checked_dates(path: Path, told: Mapping[str, Any]) -> int:
    """When it ends, in seconds since 1970. Raises ValueError outside its time."""
    begins, ends = (ssl.cert_time_to_seconds(told[key]) for key in ("notBefore", "notAfter"))
    if time.time() > ends:
        raise ValueError(
            f"{path}: has expired: it was valid until {told['notAfter']}: "
            f"`perfuse certs {path.parent} --overwrite` makes a new one"
        )
    if time.time() < begins:
        begun = told["notBefore"]
        raise ValueError(f"{path}: is valid from {begun} on: is this machine's clock right?")
    return int(ends)
