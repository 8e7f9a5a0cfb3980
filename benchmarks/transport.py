"""What one message costs on each wire, between two processes: `python -m benchmarks.transport
[--json FILE]`.

Round trips are one at a time (so every message pays for its own wake-ups); one-way messages follow
each other as fast as `send` lets them. CPU is process time of both processes, all threads, per
message.
"""

import argparse
import asyncio
import json
import subprocess
import sys
from dataclasses import asdict, dataclass, fields
from statistics import median
from time import perf_counter_ns, process_time_ns

import numpy as np

from workers.message import Array, Message
from workers.transport.base import Transport
from workers.transport.frame import decode, encode
from workers.transport.grpc import GrpcTransport

WARM_UP = 200  # messages: HTTP/2's windows and the allocator settle
PAYLOADS = (
    1024,
    64 * 1024,
)  # bytes: one token's hidden state, and a KV block or a prefill chunk's share


@dataclass(frozen=True)
class Row:
    wire: str
    payload_bytes: int
    round_trip_us_p50: float
    round_trip_us_p99: float
    round_trip_cpu_us_per_message: float
    one_way_per_s: float
    one_way_cpu_us_per_message: float


class Peer:
    """Sends, and awaits what comes back: one call at a time."""

    def __init__(self, transport: Transport, payload_bytes: int) -> None:
        self.transport = transport
        self.payload = np.zeros(payload_bytes // 4, np.float32)
        self.answer: asyncio.Future[Message] = asyncio.get_running_loop().create_future()

    def on_message(self, message: Message) -> None:
        self.answer.set_result(message)

    def message(self, kind: str) -> Message:
        columns: dict[str, Array] = {"request": np.arange(1), "position": np.zeros(1, np.int32)}
        tensors = {"hidden": self.payload}
        return Message(kind, "chip", "expert", columns=columns, tensors=tensors)

    async def call(self, kind: str) -> Message:
        self.answer = asyncio.get_running_loop().create_future()
        await self.transport.send("echo", self.message(kind))
        return await self.answer

    async def cpu_ns(self) -> int:
        """Process time of both processes so far."""
        return process_time_ns() + int((await self.call("cpu")).body["cpu_ns"])

    async def round_trips(self, number: int) -> tuple[list[int], float]:
        """Nanoseconds of each, and CPU microseconds per message."""
        times, before = [], await self.cpu_ns()
        for _ in range(number):
            start = perf_counter_ns()
            await self.call("ping")
            times.append(perf_counter_ns() - start)
        return times, (await self.cpu_ns() - before) / 1e3 / (2 * number)

    async def one_way(self, number: int) -> tuple[float, float]:
        """Messages a second, and CPU microseconds per message."""
        before, start = await self.cpu_ns(), perf_counter_ns()
        for _ in range(number):
            await self.transport.send("echo", self.message("push"))
        await self.call("ping")
        seconds = (perf_counter_ns() - start) / 1e9
        return number / seconds, (await self.cpu_ns() - before) / 1e3 / number


async def echo(wire: str) -> None:
    """The other process: answers all but "push", until its input closes."""
    transport = GrpcTransport("echo", unix=wire == "unix")
    loop = asyncio.get_running_loop()

    def on_message(message: Message) -> None:
        if message.kind != "push":
            body = {"cpu_ns": process_time_ns()} if message.kind == "cpu" else {}
            tensors = message.tensors if message.kind == "ping" else {}
            answer = Message("reply", "expert", "chip", body=body, tensors=tensors)
            tasks.append(asyncio.create_task(transport.send("bench", answer)))
            del tasks[:-1]

    tasks: list[asyncio.Task[None]] = []
    print(await transport.start(on_message, lambda node, reason: None), flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    await transport.close()


async def measure(wire: str, payload_bytes: int, number: int) -> Row:
    command = [sys.executable, "-m", "benchmarks.transport", "--echo", wire]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdin is not None and child.stdout is not None
    transport = GrpcTransport("bench", unix=wire == "unix")
    peer = Peer(transport, payload_bytes)
    try:
        address = child.stdout.readline().strip()
        await transport.start(peer.on_message, lambda node, reason: None)
        await transport.connect({"echo": address})
        await peer.round_trips(WARM_UP)
        times, cpu_us = await peer.round_trips(number)
        await peer.one_way(WARM_UP)
        per_s, one_way_cpu_us = await peer.one_way(number)
    finally:
        await transport.close()
        child.stdin.close()
        child.wait()
    p99 = sorted(times)[len(times) * 99 // 100]
    return Row(wire, payload_bytes, median(times) / 1e3, p99 / 1e3, cpu_us, per_s, one_way_cpu_us)


def codec_us(number: int) -> dict[str, float]:
    """Microseconds to encode and to decode a dispatch of four tokens with 128 fp32 each."""
    columns: dict[str, Array] = {
        "request": np.arange(4, dtype=np.int64),
        "position": np.arange(4, dtype=np.int32),
        "experts": np.zeros((4, 8), np.int32),
        "weights": np.ones((4, 8), np.float32),
    }
    tensors = {"hidden": np.ones((4, 128), np.float32)}
    message = Message("dispatch", "chip0", "expert3", columns=columns, tensors=tensors)
    frame = encode(message)
    start = perf_counter_ns()
    for _ in range(number):
        encode(message)
    middle = perf_counter_ns()
    for _ in range(number):
        decode(frame)
    end = perf_counter_ns()
    return {
        "encode_us": (middle - start) / 1e3 / number,
        "decode_us": (end - middle) / 1e3 / number,
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.transport", description=__doc__)
    parser.add_argument("--json", metavar="FILE", help="write the numbers there as well")
    parser.add_argument("--messages", type=int, default=2000, help="of each kind (default 2000)")
    parser.add_argument("--echo", metavar="WIRE", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.echo:
        asyncio.run(echo(chosen.echo))
        return
    codec = codec_us(chosen.messages)
    print("  ".join(f"{name} {value:.1f}" for name, value in codec.items()))
    rows = []
    print("  ".join(f"{field.name:>{len(field.name)}}" for field in fields(Row)))
    for wire in ("tcp", "unix"):
        for payload_bytes in PAYLOADS:
            row = asyncio.run(measure(wire, payload_bytes, chosen.messages))
            rows.append(row)
            cells = (v if isinstance(v, str) else f"{v:.0f}" for v in asdict(row).values())
            print("  ".join(f"{c:>{len(f.name)}}" for c, f in zip(cells, fields(Row), strict=True)))
    if chosen.json:
        with open(chosen.json, "w", encoding="utf-8") as file:
            json.dump({"codec": codec, "wires": [asdict(row) for row in rows]}, file, indent=2)


if __name__ == "__main__":
    main()
