"""Bytes between two processes through memory that both have mapped; see `ring.h`.

    ring = Ring(file, ring_bytes, side=0, own_bell=mine, other_bell=theirs, record_bytes_max=2**20)
    taken = ring.write(b"record", 0, 6)        # from byte 0, of a record of 6; < 6: it is full
    while length := ring.next():               # 0: nothing is there, and `own_bell` rings for more
        record = bytearray(length)
        taken = ring.read(record, 0)           # to byte 0; < length: the rest comes later

Whoever made the file has side 0, the other side 1. Bells are eventfds. Where what the other side
wrote cannot be, a call returns a number below zero: `nonsense` says what that is in words.
"""

import sys
from functools import partial

from kernels.native import lib, missing

POSITIONS_BYTES = 4096
_NONSENSE = {
    -1: "its memory says that more was written than the ring holds",
    -2: "its memory says that a record has a length that none may have",
    -3: "its memory says that more was read than was written",
}


def hindrance() -> str:
    """Why there can be no ring here; "" where there can."""
    if not sys.platform.startswith("linux"):
        return f"shared memory without a name needs Linux: this is {sys.platform}"
    return f"the native library is {missing}" if lib is None else ""


def nonsense(number: int) -> str:
    """What is wrong, where a call returned a number below zero."""
    return _NONSENSE[number]


def file_bytes(ring_bytes: int) -> int:
    """Size of the file that holds both rings."""
    return POSITIONS_BYTES + 2 * ring_bytes


class Ring:
    """One side of both rings: it writes one and reads the other. For one thread at a time.

    write(data, at, total)  adds data[at:] to the record that is open, or opens one of `total`
                            bytes; returns how many it took
    next()      length of the next record, or what is left of the one that is being read
    read(to, at)  takes what is there of it, at most what is left, which must fit `to[at:]`
    awake()     to be called when the bell has rung
    close()     lets go of the memory; later calls raise ValueError

    Raises ValueError where the file is not as large as two rings, RuntimeError where there can be
    no ring.
    """

    __slots__ = ("awake", "close", "next", "read", "write")

    def __init__(
        self,
        file: int,
        ring_bytes: int,
        *,
        side: int,
        own_bell: int,
        other_bell: int,
        record_bytes_max: int,
    ) -> None:
        if why := hindrance():
            raise RuntimeError(why)
        made = lib.ring_create(file, ring_bytes, side, own_bell, other_bell, record_bytes_max)
        self.write = partial(lib.ring_write, made)
        self.next = partial(lib.ring_next, made)
        self.read = partial(lib.ring_read, made)
        self.awake = partial(lib.ring_awake, made)
        self.close = partial(lib.ring_close, made)
