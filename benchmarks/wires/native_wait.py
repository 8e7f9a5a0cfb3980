"""A round trip through the rings of shared memory by two processes without an event loop: each
looks for a while, giving its processor away in between, and then sleeps in its bell's `read`.

To sleep at once is as fast where both take turns on one core (5 us), but to wake an idle one took
25 us each way on a virtual machine: 55 us. To look without giving way took 115 us where they shared
a core: who waits keeps it from who answers.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter_ns

import psutil

from kernels.ring import Ring, file_bytes
from workers.wire.transport.limits import MESSAGE_BYTES_MAX
from workers.wire.transport.shm_memory import RING_BYTES

LOOK_NS = 50_000  # twice what it takes to be woken


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
    """Waits until there is one; it fits the ring, so all of it is there."""
    until_ns = perf_counter_ns() + LOOK_NS
    while not (length := ours.next()):
        if perf_counter_ns() < until_ns:
            os.sched_yield()
        else:
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
    command = [sys.executable, "-m", "benchmarks.wires.native_wait", *map(str, files)]
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
