"""What a rank shows others that share no memory with it: who it is, and where UCX reaches it.

It is signed with the cluster's secret, as an arena's header is, and says a nonce: with the secret
that makes the tag under which this incarnation listens, which nobody else can know.
"""

import hashlib
import hmac
import os
import struct
from dataclasses import dataclass
from pathlib import Path

from kernels.all_to_all.arena import masked, refuse_other_sizes, sign, sizes_of, unmasked
from kernels.all_to_all.errors import AttachRefused
from kernels.all_to_all.geometry import Geometry

MAGIC = b"PRFSUCX\0"
VERSION = 1
NONCE_BYTES = 16
# magic, version, rank, the seven sizes, epoch, nonce, machine, processors of the rank, and how long
# UCX's address is, which follows; then the signature of all.
_FIELDS = struct.Struct("<8s9IQ16s16s128sI")
_SIGNATURE_BYTES = 32
_TOKEN_BITS = 51  # kernels/all_to_all/wire.h


@dataclass(frozen=True, slots=True)
class Card:
    """Who listens where.

    nonce    of this incarnation
    machine  the same for ranks that share processors
    address  UCX's, of its worker
    """

    rank: int
    epoch: int
    nonce: bytes
    machine: bytes
    cpus: frozenset[int]
    address: bytes


def this_machine() -> bytes:
    """Its boot, in 16 bytes; where none is known, nobody else's."""
    try:
        said = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")
        return bytes.fromhex(said.strip().replace("-", ""))
    except (OSError, ValueError):
        return os.urandom(16)


def token_of(nonce: bytes, secret: bytes) -> int:
    """What the tags of messages to an incarnation begin with."""
    key = hashlib.blake2b(secret, person=b"perfuse-tags").digest()
    digest = hashlib.blake2b(nonce, key=key, digest_size=8).digest()
    return int.from_bytes(digest, "little") >> (64 - _TOKEN_BITS)


def written(card: Card, geometry: Geometry, secret: bytes) -> bytes:
    fields = _FIELDS.pack(
        MAGIC, VERSION, card.rank, *sizes_of(geometry), card.epoch, card.nonce, card.machine,
        masked(card.cpus), len(card.address),
    )  # fmt: skip
    said = fields + card.address
    return said + sign(said, secret)


def read(data: bytes, geometry: Geometry, secret: bytes) -> Card:
    """Raises AttachRefused where it is not one of this cluster and geometry; says what differs."""
    said, signature = data[:-_SIGNATURE_BYTES], data[-_SIGNATURE_BYTES:]
    if len(said) < _FIELDS.size or not said.startswith(MAGIC):
        raise AttachRefused(f"an address of a UCX rank begins with {MAGIC!r}, not {data[:8]!r}")
    _, version, rank, *rest = _FIELDS.unpack_from(said)
    if version != VERSION:
        raise AttachRefused(f"its address has version {version}; this is version {VERSION}")
    if not hmac.compare_digest(signature, sign(said, secret)):
        raise AttachRefused("its address is signed with another secret, or damaged")
    *sizes, epoch, nonce, machine, mask, length = rest
    refuse_other_sizes(sizes, geometry)
    address = said[_FIELDS.size :]
    if len(address) != length:
        raise AttachRefused(f"its address has {len(address)} bytes; it says {length}")
    return Card(rank, epoch, nonce, machine, unmasked(mask), address)
