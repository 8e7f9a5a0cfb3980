"""The memory that two nodes share and the bells that wake them, and how they change hands.

Both are files without a name: the kernel frees them with the last process that has them, so a crash
leaves nothing behind. Who dials makes them and passes them over the unix stream on which both have
proved themselves (SCM_RIGHTS), with the handshake's last word. What comes is checked before it is
used: memory that could be taken away under a reader's feet would end its process.
"""

import asyncio
import fcntl
import os
import socket
import stat
from collections.abc import Sequence
from dataclasses import dataclass

from kernels.ring import file_bytes
from workers.wire.transport import handshake
from workers.wire.transport.handshake import HandshakeError

# Of one direction. All of it is resident once so many bytes have crossed; eleven nodes have 110
# directions. Larger ones are no faster, as they leave the processors' caches: milliseconds for a
# message and a small answer, two processes on 2 cores under a load of 5:
#
#    ring     | 64 KiB   1 MiB   8 MiB   64 MiB
#    64 KiB   | 0.06     0.59    5.3     109
#    256 KiB  | 0.06     0.43    3.1     83
#    1 MiB    | 0.07     0.46    2.9     93
#    4 MiB    | 0.10     0.50    3.4     89
#    16 MiB   | 0.10     0.68    3.5     102
#    UCX      | 0.18     0.78    10.7    121
RING_BYTES = 256 * 1024

NAME = "perfuse-wire"
_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
_BELL = os.EFD_CLOEXEC | os.EFD_NONBLOCK
_NUM_FILES = 3


@dataclass(frozen=True, slots=True)
class Shared:
    """One side's files of a link: the memory, the bell that wakes it and the one it rings."""

    side: int
    file: int
    own_bell: int
    other_bell: int

    def close(self) -> None:
        for descriptor in (self.file, self.own_bell, self.other_bell):
            os.close(descriptor)


def make(ring_bytes: int) -> Shared:
    """The dialler's. Raises OSError where there is no memory or no descriptor left."""
    opened = []
    try:
        opened.append(os.memfd_create(NAME, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING))
        os.fchmod(opened[0], 0o600)
        os.ftruncate(opened[0], file_bytes(ring_bytes))
        fcntl.fcntl(opened[0], fcntl.F_ADD_SEALS, _SEALS)
        opened += [os.eventfd(0, _BELL) for _ in range(2)]
    except OSError:
        _close(opened)
        raise
    return Shared(0, *opened)


def hand_over(stream: asyncio.StreamWriter, shared: Shared) -> None:
    """Send the acceptor its side of what `make` made. Raises OSError where it cannot be sent."""
    with _raw(stream) as raw:
        theirs = (shared.file, shared.other_bell, shared.own_bell)
        socket.send_fds(raw, [handshake.GO], theirs)


async def receive(stream: asyncio.StreamWriter, ring_bytes: int) -> Shared:
    """The acceptor's, once it has come; nothing may read from the stream meanwhile.

    Raises HandshakeError where it is not what it should be, OSError and IncompleteReadError where
    the stream ends.
    """
    with _raw(stream) as raw:
        await _readable(raw)
        flags = socket.MSG_CMSG_CLOEXEC
        word, files, _, _ = socket.recv_fds(raw, len(handshake.GO), _NUM_FILES, flags)
    try:
        if not word:
            raise asyncio.IncompleteReadError(word, len(handshake.GO))
        _check(files, ring_bytes)
    except BaseException:
        _close(files)
        raise
    return Shared(1, *files)


def _check(files: Sequence[int], ring_bytes: int) -> None:
    if len(files) != _NUM_FILES:
        raise HandshakeError(
            f"{len(files)} files came with its last word: it should be memory and two bells"
        )
    found = os.fstat(files[0])
    if not stat.S_ISREG(found.st_mode) or found.st_size != file_bytes(ring_bytes):
        raise HandshakeError(
            f"its memory has {found.st_size} bytes: it should have {file_bytes(ring_bytes)}"
        )
    try:
        seals = fcntl.fcntl(files[0], fcntl.F_GET_SEALS)
    except OSError:  # no memfd at all
        seals = 0
    if seals & _SEALS != _SEALS:
        raise HandshakeError("its memory is not sealed: its owner could take it away")
    for bell in files[1:]:
        if (kind := os.readlink(f"/proc/self/fd/{bell}")) != "anon_inode:[eventfd]":
            raise HandshakeError(f"its bell is {kind!r}: it should be an eventfd")
        os.set_blocking(bell, False)


def _close(files: Sequence[int]) -> None:
    for descriptor in files:
        os.close(descriptor)


def _raw(stream: asyncio.StreamWriter) -> socket.socket:
    """The stream's socket once more, for what asyncio's streams cannot send or receive."""
    found: socket.socket = stream.get_extra_info("socket")
    if found.family != socket.AF_UNIX:
        raise HandshakeError("memory is shared over a unix socket alone")
    return socket.socket(fileno=os.dup(found.fileno()))


async def _readable(raw: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()

    def now() -> None:
        if not ready.done():
            ready.set_result(None)

    loop.add_reader(raw, now)
    try:
        await ready
    finally:
        loop.remove_reader(raw)
