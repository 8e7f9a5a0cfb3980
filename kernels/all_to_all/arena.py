"""A rank's arena: memory that other processes of this user can map while its owner lives.

It is a file without a name (memfd), sealed so that nobody can shrink it under another's feet, of
permission 0600. Others reach it through the owner's process, so nothing is left behind by any
crash: the kernel frees it with the last process that has it.

The header says who this is. It is signed with the cluster's secret: whoever has another, and
whatever is no header, is told apart before a single number is used.
"""

import contextlib
import fcntl
import hashlib
import hmac
import mmap
import os
import re
import stat
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from kernels.all_to_all.errors import AttachRefused
from kernels.all_to_all.geometry import FORMATS, Geometry

MAGIC = b"PRFSA2A\0"
ABI = 2
NAME = "perfuse-all-to-all"
SECRET_BYTES_MIN = 16
EPOCH_MAX = 2**24 - 1
# magic, abi, rank, world, capacity, hidden, experts, experts a token, send, back, pid, epoch,
# bytes of the arena, the pipe's number in the owner, processors that the owner may run on; then the
# signature of these.
_FIELDS = struct.Struct("<8s10IQQi128s")
_SIGNATURE_BYTES = 32
_HEADER_BYTES = 512
_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
_ADDRESS = re.compile(r"a2a:(\d{1,4}):(\d{1,8}):(\d{1,10}):(\d{1,10})")
CPUS_MAX = 1024
NO_PIPE = -1


@dataclass(frozen=True, slots=True)
class Identity:
    """Who an arena belongs to, as its header says.

    pipe   wakes its event loop, as its process numbers it; NO_PIPE: none does
    """

    rank: int
    epoch: int
    process: int
    cpus: frozenset[int]
    pipe: int = NO_PIPE


def sizes_of(geometry: Geometry) -> tuple[int, ...]:
    return (
        geometry.world, geometry.capacity, geometry.hidden, geometry.num_experts,
        geometry.experts_per_token, FORMATS.index(geometry.send), FORMATS.index(geometry.back),
    )  # fmt: skip


def sign(fields: bytes, secret: bytes) -> bytes:
    return hashlib.blake2b(
        fields, digest_size=_SIGNATURE_BYTES, key=hashlib.blake2b(secret).digest()
    ).digest()


def refuse_other_sizes(theirs: Sequence[int], geometry: Geometry) -> None:
    names = "world capacity hidden num_experts experts_per_token send back".split()
    for name, there, here in zip(names, theirs, sizes_of(geometry), strict=True):
        if there != here:
            raise AttachRefused(f"its {name} is {there}; here it is {here}")


def masked(cpus: frozenset[int]) -> bytes:
    """Processors as 128 bytes."""
    return sum(1 << cpu for cpu in cpus if cpu < CPUS_MAX).to_bytes(CPUS_MAX // 8, "little")


def unmasked(mask: bytes) -> frozenset[int]:
    bits = int.from_bytes(mask, "little")
    return frozenset(i for i in range(CPUS_MAX) if bits >> i & 1)


def header(geometry: Geometry, identity: Identity, secret: bytes) -> bytes:
    fields = _FIELDS.pack(
        MAGIC, ABI, identity.rank, *sizes_of(geometry), identity.process, identity.epoch,
        geometry.layout().arena, identity.pipe, masked(identity.cpus),
    )  # fmt: skip
    return fields + sign(fields, secret)


def read_header(data: bytes, geometry: Geometry, secret: bytes) -> Identity:
    """Raises AttachRefused where it is not one of this cluster and geometry."""
    fields, signature = data[: _FIELDS.size], data[_FIELDS.size :][:_SIGNATURE_BYTES]
    if len(fields) < _FIELDS.size or not fields.startswith(MAGIC):
        raise AttachRefused(f"it begins with {data[:8]!r}; an arena begins with {MAGIC!r}")
    _, abi, rank, *sizes, process, epoch, num_bytes, pipe, mask = _FIELDS.unpack(fields)
    if abi != ABI:
        raise AttachRefused(f"its layout has version {abi}; this is version {ABI}")
    if not hmac.compare_digest(signature, sign(fields, secret)):
        raise AttachRefused("its header is signed with another secret, or damaged")
    refuse_other_sizes(sizes, geometry)
    if num_bytes != geometry.layout().arena:
        raise AttachRefused(f"it has {num_bytes} bytes; here it is {geometry.layout().arena}")
    return Identity(rank, epoch, process, unmasked(mask), pipe)


def available_bytes() -> int:
    """Memory that can be had without swapping; a very large number where nobody says."""
    with open("/proc/meminfo", encoding="ascii") as file:
        found = re.search(r"^MemAvailable: *(\d+) kB$", file.read(), re.MULTILINE)
    return int(found[1]) * 1024 if found else 1 << 62


def create(
    geometry: Geometry, rank: int, epoch: int, secret: bytes, pipe: int = NO_PIPE
) -> tuple[int, str]:
    """The file of a new arena, and its address. The caller closes the file, and with it the way in.

    pipe   one of this process whose reader is to be woken

    Raises MemoryError or OSError where there is no memory for it.
    """
    num_bytes = geometry.layout().arena
    # The kernel would take what there is, and then end a process of its choice.
    if num_bytes > (free := available_bytes()):
        raise MemoryError(f"an arena of {geometry} takes {num_bytes} bytes; {free} are available")
    file = os.memfd_create(NAME, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.fchmod(file, 0o600)
        # Taken now: a page that cannot be had later would end the process that touches it.
        os.posix_fallocate(file, 0, num_bytes)
        cpus = frozenset(os.sched_getaffinity(0))
        identity = Identity(rank, epoch, os.getpid(), cpus, pipe)
        os.pwrite(file, header(geometry, identity, secret), 0)
        fcntl.fcntl(file, fcntl.F_ADD_SEALS, _SEALS)
    except BaseException:
        os.close(file)
        raise
    return file, f"a2a:{rank}:{epoch}:{os.getpid()}:{file}"


def mapped(file: int, geometry: Geometry) -> mmap.mmap:
    """For views: it stays as long as one of them does."""
    return mmap.mmap(file, geometry.layout().arena)


def _refuse_unless_ours(file: int, geometry: Geometry) -> None:
    found = os.fstat(file)
    if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
        raise AttachRefused(f"its file is not this user's (uid {found.st_uid})")
    if stat.S_IMODE(found.st_mode) != 0o600:
        raise AttachRefused(f"its file has mode {stat.S_IMODE(found.st_mode):o}; it must be 600")
    if fcntl.fcntl(file, fcntl.F_GET_SEALS) & _SEALS != _SEALS:
        raise AttachRefused("its file is not sealed: its owner could take memory away")
    if found.st_size != geometry.layout().arena:
        raise AttachRefused(
            f"its file has {found.st_size} bytes; it must have {geometry.layout().arena}"
        )


def _opened_pipe(process: int, pipe: int) -> int:
    """To write to, and to read from as well: then a reader that has gone raises no signal."""
    file = os.open(f"/proc/{process}/fd/{pipe}", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    found = os.fstat(file)
    if not stat.S_ISFIFO(found.st_mode) or found.st_uid != os.geteuid():
        os.close(file)
        raise AttachRefused(f"file {pipe} of its process is no pipe of this user's")
    return file


@dataclass(frozen=True, slots=True)
class Reached:
    """Who is at an address, and what is open of it: its memory, a pidfd of its process, its pipe or
    NO_PIPE.
    """

    identity: Identity
    file: int
    process: int
    pipe: int


@contextlib.contextmanager
def reached(address: str, geometry: Geometry, secret: bytes) -> Iterator[Reached]:
    """Who is at an address; all is open within.

    Raises AttachRefused where what is there is not what the address says.
    """
    if (match := _ADDRESS.fullmatch(address)) is None:
        raise AttachRefused(f"address {address!r} is not of the form a2a:rank:epoch:process:file")
    *_, pid, number = map(int, match.groups())
    with contextlib.ExitStack() as stack:
        try:
            # The process first: should it end and its number be another's, the header shows it.
            process = os.pidfd_open(pid)
            stack.callback(os.close, process)
            path = f"/proc/{pid}/fd/{number}"
            if not os.readlink(path).startswith(f"/memfd:{NAME}"):
                raise AttachRefused("what is open there is no arena")
            file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            stack.callback(os.close, file)
            _refuse_unless_ours(file, geometry)
            identity = read_header(os.pread(file, _HEADER_BYTES, 0), geometry, secret)
            found = f"a2a:{identity.rank}:{identity.epoch}:{identity.process}:{number}"
            if found != address:
                raise AttachRefused(f"it is {found}")
            pipe = NO_PIPE
            if identity.pipe != NO_PIPE:
                pipe = _opened_pipe(pid, identity.pipe)
                stack.callback(os.close, pipe)
        except AttachRefused as error:
            raise AttachRefused(f"{address}: {error}") from error
        except OSError as error:
            raise AttachRefused(f"{address}: {error.strerror}") from error
        yield Reached(identity, file, process, pipe)
