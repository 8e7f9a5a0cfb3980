"""How two nodes of one cluster convince each other of it, on a stream, before anything else counts.

    acceptor                                           dialler
    magic, version, nonce A                 ->
                                            <-         magic, version, nonce D, introduction, proof
    verdict; introduction and proof, or     ->         checks the proof
    why not, in words
                                            <-         GO: from here on the acceptor may send

A proof is HMAC-SHA-256 under the cluster's secret over who speaks, both nonces and what is
introduced: nobody can repeat one that was overheard, turn one round, or change what it covers.
Proofs are compared in constant time. What is introduced are plain strings of bytes of bounded
length; nothing is executed or unpickled.
"""

import asyncio
import hashlib
import hmac
import secrets
import struct
from collections.abc import Callable
from dataclasses import astuple, dataclass

from workers.wire.transport.dials import DIAL_BYTES

MAGIC = b"PFH"
VERSION = 2  # of this exchange, and of what follows it on the wire
OPENING = struct.Struct("<3sB32s")  # magic, version, nonce
PROOF_BYTES = 32
# Of a whole introduction. A UCX worker's address has some hundred bytes, a name less.
INTRODUCTION_BYTES_MAX = 16 * 1024
WELCOME, REFUSED, CROSSED = 1, 2, 3
GO = b"\x01"

_LENGTH = struct.Struct("<H")
_VERDICT = struct.Struct("<BH")  # which, bytes that follow before the proof


class HandshakeError(Exception):
    """The other end is none of ours, or will not have us; says why."""


class Crossed(Exception):
    """The acceptor's own dial stands, so this one ends."""


@dataclass(frozen=True, slots=True)
class Introduction:
    """Who speaks, and how it is reached.

    node     its name
    address  where it listens: differs from incarnation to incarnation
    tag      8 bytes that begin whatever is sent to it on this link
    worker   the address of its UCX worker
    dial     which of its dials this is, or what it has dialled so far: `Dials`
    """

    node: str
    address: str
    tag: bytes
    worker: bytes
    dial: bytes

    def encode(self) -> bytes:
        parts = (self.node.encode(), self.address.encode(), self.tag, self.worker, self.dial)
        return b"".join(_LENGTH.pack(len(part)) + part for part in parts)

    @classmethod
    def decode(cls, said: bytes) -> "Introduction":
        """Raises HandshakeError for what `encode` does not write."""
        parts, at = [], 0
        try:
            for _ in range(5):
                (length,) = _LENGTH.unpack_from(said, at)
                at += _LENGTH.size + length
                parts.append(said[at - length : at])
            found = cls(parts[0].decode(), parts[1].decode(), *parts[2:])
        except (struct.error, UnicodeDecodeError) as error:
            raise HandshakeError(f"an introduction is malformed: {error}") from error
        sizes = len(found.tag), len(found.dial)
        if at != len(said) or sizes != (8, DIAL_BYTES) or not all(astuple(found)):
            raise HandshakeError("an introduction is malformed: a field is missing or has no value")
        return found


async def dial(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    secret: bytes,
    ours: Introduction,
) -> Introduction:
    """Introduce this node to who accepted; returns who that is. The caller sends GO.

    Raises HandshakeError if that is no node of this cluster or refuses this one, Crossed if its own
    dial stands, OSError and IncompleteReadError where the stream ends.
    """
    theirs = _opened(await reader.readexactly(OPENING.size))
    mine, said = secrets.token_bytes(32), ours.encode()
    nonces = theirs + mine
    writer.write(OPENING.pack(MAGIC, VERSION, mine) + _LENGTH.pack(len(said)) + said)
    writer.write(_proof(secret, b"dialler", nonces, said))
    verdict, length = _VERDICT.unpack(await reader.readexactly(_VERDICT.size))
    answer = await reader.readexactly(min(length, INTRODUCTION_BYTES_MAX))
    if verdict == CROSSED:
        raise Crossed
    if verdict != WELCOME:
        raise HandshakeError(answer.decode(errors="replace"))
    proof = await reader.readexactly(PROOF_BYTES)
    if not hmac.compare_digest(proof, _proof(secret, b"acceptor", nonces, answer)):
        raise HandshakeError("who listens there does not know the secret of this cluster")
    return Introduction.decode(answer)


async def hear(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, secret: bytes
) -> tuple[Introduction, Callable[[Introduction], None]]:
    """Open to whoever dialled; returns who it is, and what welcomes it as the node that is given.

    Raises HandshakeError if it is no node of this cluster, OSError and IncompleteReadError where
    the stream ends.
    """
    mine = secrets.token_bytes(32)
    writer.write(OPENING.pack(MAGIC, VERSION, mine))
    theirs = _opened(await reader.readexactly(OPENING.size))
    (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
    if length > INTRODUCTION_BYTES_MAX:
        raise HandshakeError(
            f"an introduction has {length} bytes: at most {INTRODUCTION_BYTES_MAX}"
        )
    said, proof = await reader.readexactly(length), await reader.readexactly(PROOF_BYTES)
    nonces = mine + theirs
    if not hmac.compare_digest(proof, _proof(secret, b"dialler", nonces, said)):
        raise HandshakeError("this node is of another cluster: the secrets differ")

    def welcome(ours: Introduction) -> None:
        answer = ours.encode()
        writer.write(_VERDICT.pack(WELCOME, len(answer)) + answer)
        writer.write(_proof(secret, b"acceptor", nonces, answer))

    return Introduction.decode(said), welcome


def refuse(writer: asyncio.StreamWriter, reason: str) -> None:
    """Say why there will be no link; the caller closes."""
    said = reason.encode()[:INTRODUCTION_BYTES_MAX]
    writer.write(_VERDICT.pack(REFUSED, len(said)) + said)


def cross(writer: asyncio.StreamWriter) -> None:
    """Say that this node's own dial stands; the caller closes."""
    writer.write(_VERDICT.pack(CROSSED, 0))


def _opened(opening: bytes) -> bytes:
    """The other's nonce."""
    magic, version, nonce = OPENING.unpack(opening)
    if magic != MAGIC:
        raise HandshakeError(f"a stream begins with {magic!r}: it should be {MAGIC!r}")
    if version != VERSION:
        raise HandshakeError(f"it speaks version {version} of the wire: this node speaks {VERSION}")
    return bytes(nonce)


def _proof(secret: bytes, who: bytes, nonces: bytes, said: bytes) -> bytes:
    # All parts but the last have fixed lengths for each speaker, so none can be taken for another.
    return hmac.digest(secret, who + b"\x00" + nonces + said, hashlib.sha256)
