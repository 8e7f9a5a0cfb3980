"""A round trip of the native all-to-all over UCX between two processes of one machine: one token of
4 KiB goes to the other's expert, which gives it back. Both wait in native code, and the wire is
shared memory of UCX's own.

Expected before the first run: 0.5 us each way in UCX, two copies of 4 KiB more each way than in
memory that both have mapped, 1 us, and the calls: four of them one after the other, 1.5 us each. 10
us, where both have a processor of their own: some 1/25 of gRPC's 250 us.

Found: 242 us at first, at a load of 10, longer than gRPC. Both looked for 100 us without giving
way, and where they shared a processor the one that waited kept it from the one that was to answer.
With the processor given away between two looks it is 13 to 17 us, at loads of 3 to 11: 1/20 to 1/13
of gRPC's. What is more than 10 us was not taken apart.
"""

import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import numpy as np
import psutil

from kernels.all_to_all import Geometry, Tokens, UcxAllToAll

SECRET = b"of this benchmark alone"
TRANSPORTS = "posix,cma,self"
TIMEOUT_NS = 20_000_000_000
_OWNERS = np.array([1, -1], np.int32)


def rank_of(number: int, num_bytes: int) -> UcxAllToAll:
    geometry = Geometry(2, 1, num_bytes // 4, 1, 1, "fp32", "fp32")
    return UcxAllToAll(geometry, number, SECRET, transports=TRANSPORTS)


def echo() -> None:
    """The other process: gives back what it gets, until that is nothing or the first rank ends."""
    rank = rank_of(1, int(sys.argv[1]))
    print(rank.address.hex(), flush=True)
    rank.attach(bytes.fromhex(sys.stdin.readline()))
    while 0 in rank.alive():
        try:
            (arrived,) = rank.dispatch_receive(TIMEOUT_NS)
        except TimeoutError:
            continue
        if arrived.num_tokens == 0:
            break
        rank.combine_send(arrived, arrived.rows)
    rank.close()


@asynccontextmanager
async def by_native_ucx(
    frame: bytes,
) -> AsyncIterator[tuple[Callable[[], Awaitable[None]], object]]:
    """Yields the call and the other process."""
    command = [sys.executable, "-m", "benchmarks.wires.native_ucx", str(len(frame))]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdin is not None and child.stdout is not None
    rank = rank_of(0, len(frame))
    row = np.frombuffer(frame, np.float32)[None]
    one = np.zeros((1, 1), np.int32)
    token = Tokens(np.zeros(1, np.uint64), np.zeros(1, np.int64), one, one.astype(np.float32), row)
    back = np.empty(row.shape, np.float32)

    async def call() -> None:
        handle = rank.dispatch_send(token, _OWNERS, TIMEOUT_NS)
        rank.combine_receive(handle, TIMEOUT_NS, back)

    try:
        rank.attach(bytes.fromhex(child.stdout.readline()))
        child.stdin.write(rank.address.hex() + "\n")
        child.stdin.flush()
        yield call, psutil.Process(child.pid)
        assert np.array_equal(back, row)
    finally:
        none = Tokens(
            np.zeros(0, np.uint64), np.zeros(0, np.int64), one[:0],
            np.zeros((0, 1), np.float32), row[:0],
        )  # fmt: skip
        rank.dispatch_send(none, _OWNERS, TIMEOUT_NS, everyone=True)
        rank.close()
        child.stdin.close()
        child.stdout.close()
        child.wait()


if __name__ == "__main__":
    echo()
