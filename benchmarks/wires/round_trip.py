"""A round trip of 4 KiB between two processes, by each way there is: `python -m
benchmarks.wires.round_trip [--json FILE]`.

All ways take turns in one run, a block of round trips each, one at a time; the medians are over all
blocks. A Ray actor is asked for what it is given; the wires carry a whole frame, handed to
`Transport.send` and back from `on_payload`, so that encoding is in none of them. CPU is that of
both processes, all their threads, for each round trip.

Expected before the first run: a Ray call 1,000 us, gRPC 200-300 us, UCX 35-60 us where both
processes have a core of their own. There UCX takes at most an eighth of gRPC; where they share one
core with others it does not, for then both pay for their CPU alone, some 60 us against 250 us.
Shared memory of our own 60 us, of which asyncio's turns are the most, and 15-20 us where both wait
in native code instead (`native_wait`). TLS adds two passes of AES-GCM each way to gRPC over TCP,
some 4 us each at 1 GB/s, and its records: 10 % at most.

Found: it adds 27 % in two of three runs, 217 -> 277 us and 209 -> 265 us, and nothing in the third;
CPU 282 -> 349 us (2 cores, a load of 7 to 10). Sealing 4 KiB takes 1 us here (`openssl speed -evp
aes-256-gcm`), so nearly all of that is gRPC's, which was not taken apart.
"""

import argparse
import asyncio
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.util import find_spec
from pathlib import Path
from statistics import median, quantiles
from time import perf_counter_ns, process_time_ns
from typing import Any

import psutil

from benchmarks.rows import Row, arguments, report
from benchmarks.wires.native_ucx import by_native_ucx
from benchmarks.wires.ray_call import by_ray
from configs.new_certificates import make_certificates
from configs.schema.wires import LOOPBACK
from kernels.ring import hindrance
from workers.wire.transport.base import Buffer, Transport

BYTES = 4096
SHARES = (  # a way, beside another, and how much of that it may take
    ("ucx", "grpc", 8),
    ("ucx_shared", "grpc_unix", 8),
    ("ucx_native", "grpc", 8),
    ("shm_native", "ucx_shared", 3),
)
WARM_UP = 200  # round trips of each way
BLOCKS, BLOCK = 20, 100  # of each way, and round trips of one
WAYS = (
    "ray", "grpc", "grpc_tls", "grpc_unix", "ucx", "ucx_shared", "ucx_native", "shm", "shm_native",
)  # fmt: skip
WORDS = {
    "ray": "Ray actor call",
    "grpc": "gRPC, TCP",
    "grpc_tls": "gRPC, TCP with TLS",
    "grpc_unix": "gRPC, unix socket",
    "ucx": "UCX, TCP and shared memory",
    "ucx_shared": "UCX, shared memory alone",
    "ucx_native": "UCX, shared memory alone, native wait",
    "shm": "shared memory of our own",
    "shm_native": "shared memory of our own, native wait",
}

Call = Callable[[], Awaitable[None]]
Way = tuple[Call, psutil.Process]


def transport(way: str, name: str, certificates: str) -> Transport:
    if way == "grpc_tls":
        from configs.certificates import read_certificates
        from workers.wire.transport.grpc import GrpcTransport

        shown = read_certificates(Path(certificates), LOOPBACK)
        return GrpcTransport(name, certificates=shown)
    if way.startswith("grpc"):
        from workers.wire.transport.grpc import GrpcTransport

        return GrpcTransport(name, unix=way == "grpc_unix")
    if way == "shm":
        from workers.wire.transport.shm import ShmTransport

        return ShmTransport(name)
    from workers.wire.transport.ucx import UcxTransport

    return UcxTransport(name, unix=way == "ucx_shared")


async def echo(way: str, certificates: str) -> None:
    """The other process: sends back what it gets, until its input closes."""
    wire, waiting = transport(way, "echo", certificates), set[asyncio.Future[None]]()

    def back(frame: Buffer) -> None:
        turn = wire.send("bench", [frame])
        if turn is not None:
            waiting.add(asyncio.ensure_future(turn))

    print(await wire.start(back, lambda node, reason: None), flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await wire.close()


@asynccontextmanager
async def by_wire(way: str, frame: bytes) -> Any:
    """Yields the call and the other process."""
    with tempfile.TemporaryDirectory(prefix="perfuse-") as folder:
        certificates = ""
        if way == "grpc_tls":
            certificates = str(make_certificates(Path(folder) / "certs").folder)
        async with between(way, frame, certificates) as made:
            yield made


@asynccontextmanager
async def between(way: str, frame: bytes, certificates: str) -> Any:
    command = [sys.executable, "-m", "benchmarks.wires.round_trip", "--echo", way, certificates]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdin is not None and child.stdout is not None
    wire, loop = transport(way, "bench", certificates), asyncio.get_running_loop()
    answer = loop.create_future()

    async def call() -> None:
        nonlocal answer
        answer = loop.create_future()
        turn = wire.send("echo", [frame])
        if turn is not None:
            await turn
        await answer

    try:
        address = child.stdout.readline().strip()
        await wire.start(lambda back: answer.set_result(back), lambda node, reason: None)
        await wire.connect({"echo": address})
        yield call, psutil.Process(child.pid)
    finally:
        await wire.close()
        child.stdin.close()
        child.stdout.close()
        child.wait()


@asynccontextmanager
async def by_native_wait(frame: bytes) -> Any:
    """Yields the call and the other process."""
    from benchmarks.wires.native_wait import next_record, other_process

    with other_process() as (ring, other):

        async def call() -> None:
            ring.write(frame, 0, len(frame))
            assert len(next_record(ring)) == len(frame)

        yield call, other


def opened(way: str, frame: bytes) -> Any:
    """What yields the call and the other process."""
    if way in ("ray", "ucx_native"):
        return (by_ray if way == "ray" else by_native_ucx)(frame)
    return by_native_wait(frame) if way == "shm_native" else by_wire(way, frame)


def is_here(way: str) -> bool:
    """Whether this machine has it."""
    if way.startswith("shm"):
        return not hindrance()
    return not way.startswith("ucx") or find_spec("ucxx") is not None


def frame_of(size: int) -> bytes:
    """A whole frame of so many bytes."""
    from workers.wire.transport.frame import MAGIC, PREFIX

    return PREFIX.pack(MAGIC, 0, 0, size) + bytes(size - PREFIX.size)


def cpu_ns(other: psutil.Process) -> int:
    """Of this process and the other, so far."""
    times = other.cpu_times()
    return process_time_ns() + int((times.user + times.system) * 1e9)


async def measure(ways: list[str], num_blocks: int, block: int) -> dict[str, tuple[list[int], int]]:
    """Way -> nanoseconds of each round trip, and CPU nanoseconds of all."""
    frame = frame_of(BYTES)
    found: dict[str, tuple[list[int], int]] = {}
    async with AsyncExitStack() as stack:
        made: dict[str, Way] = {}
        for way in ways:
            made[way] = await stack.enter_async_context(opened(way, frame))
            for _ in range(WARM_UP):
                await made[way][0]()
        for _ in range(num_blocks):
            for way, (call, other) in made.items():
                times, cpu = found.get(way, ([], 0))
                before = cpu_ns(other)
                for _ in range(block):
                    start = perf_counter_ns()
                    await call()
                    times.append(perf_counter_ns() - start)
                found[way] = times, cpu + cpu_ns(other) - before
    return found


def rows_of(found: dict[str, tuple[list[int], int]], load: str) -> list[Row]:
    rows = []
    for way, (times, cpu) in found.items():
        p50, p99 = median(times) / 1e3, quantiles(times, n=100)[98] / 1e3
        how = (
            f"measured: {len(times)} one by one, p99 {p99:.0f} us, most {max(times) / 1e3:.0f} us, "
            f"CPU {cpu / 1e3 / len(times):.0f} us; {load}"
        )
        rows.append(Row(f"round trip, 4 KiB, {WORDS[way]}", round(p50, 1), "us", "none", True, how))
    for wire, beside, parts in SHARES:
        if wire in found and beside in found:
            share = median(found[wire][0]) / median(found[beside][0])
            name = f"{WORDS[wire]}: share of {WORDS[beside]}"
            how = f"measured: medians of the same run; {load}"
            bar = f"<= 1/{parts}"
            rows.append(Row(name, round(share, 3), "", bar, share <= 1 / parts, how))
    return rows


def run(wanted: Sequence[str] = WAYS, blocks: int = BLOCKS, block: int = BLOCK) -> list[Row]:
    """Of the ways that are here."""
    ways = [way for way in wanted if is_here(way)]
    cores, load = psutil.cpu_count(), psutil.getloadavg()[0]
    found = asyncio.run(measure(ways, blocks, block))
    return rows_of(found, f"{cores} cores, a load of {load:.1f} before")


def main() -> int:
    parser = arguments(__doc__ or "")
    parser.add_argument("--blocks", type=int, default=BLOCKS, help="of each way, in turn")
    parser.add_argument("--block", type=int, default=BLOCK, help="round trips of one block")
    parser.add_argument("--only", nargs="+", choices=WAYS, default=list(WAYS), help="these ways")
    parser.add_argument("--echo", nargs=2, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.echo:
        asyncio.run(echo(*chosen.echo))
        return 0
    rows = run(chosen.only, chosen.blocks, chosen.block)
    return report(rows, chosen.json, "A round trip of 4 KiB between two processes")


if __name__ == "__main__":
    sys.exit(main())
