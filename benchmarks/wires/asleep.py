"""A round trip through the rings of shared memory by two processes that wait natively: each sleeps
in its bell's `read` until the other rings, and no event loop is in it.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

from kernels.ring import Ring, file_bytes
from workers.wire.transport.limits import MESSAGE_BYTES_MAX
from workers.wire.transport.shm_memory import RING_BYTES


def ring(side: int, file: int, own_bell: int, other_bell: int) -> Ring:
    """One side's, which waits in `awake`: its bell is one that blocks."""
    return Ring(
        file,
        RING_BYTES,
        side=side,
        own_bell=own_bell,
        other_bell=other_bell,
        record_bytes_max=MESSAGE_BYTES_MAX,
    )


def next_record(ours: Ring) -> bytearray:
    """Sleeps until there is one; it fits the ring, so all of it is there."""
    while not (length := ours.next()):
        ours.awake()
    record = bytearray(length)
    ours.read(record, 0)
    return record


def echo() -> None:
    """The other process: sends back what it gets, until it is ended."""
    ours = ring(1, *map(int, sys.argv[1:]))
    while True:
        record = next_record(ours)
        ours.write(record, 0, len(record))


@contextmanager
def other_process() -> Iterator[tuple[Ring, psutil.Process]]:
    """Our side, and the process that has the other."""
    file = os.memfd_create("perfuse-bench", os.MFD_CLOEXEC)
    os.ftruncate(file, file_bytes(RING_BYTES))
    files = [file, os.eventfd(0), os.eventfd(0)]
    command = [sys.executable, "-m", "benchmarks.wires.asleep", *map(str, files)]
    child = subprocess.Popen(command, pass_fds=files)
    ours = ring(0, file, files[2], files[1])
    try:
        yield ours, psutil.Process(child.pid)
    finally:
        child.kill()
        child.wait()
        ours.close()
        for descriptor in files:
            os.close(descriptor)


if __name__ == "__main__":
    echo()
