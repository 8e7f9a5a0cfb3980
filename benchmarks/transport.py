"""What one message costs on each wire, between two processes: `python -m benchmarks.transport
[--json FILE]`.

Round trips are one at a time (so every message pays for its own wake-ups); one-way messages follow
each other as fast as `send` lets them. CPU is process time of both processes, all threads, per
message.
"""

import argparse
import asyncio
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median
from time import perf_counter_ns, process_time_ns
from typing import Annotated, Any

import numpy as np

from benchmarks.rows import Row, arguments, report
from workers.wire.kind import Kind, kind
from workers.wire.kinds.experts import Dispatch
from workers.wire.mail import Frames, Mail
from workers.wire.message import Message
from workers.wire.roles import Array, Moment, Tensor, column
from workers.wire.transport.frame import decode, encode
from workers.wire.transport.grpc import GrpcTransport

WARM_UP = 200  # messages: HTTP/2's windows and the allocator settle
PAYLOADS = (
    1024,
    64 * 1024,
)  # bytes: one token's hidden state, and a KV block or a prefill chunk's share


@kind("ping")
@dataclass(frozen=True, slots=True)
class Ping(Kind[Any]):
    """Comes back as it is."""

    request: Annotated[Array, column(8)]
    position: Annotated[Array, column(4)]
    hidden: Tensor


@kind("push")
@dataclass(frozen=True, slots=True)
class Push(Kind[Any]):
    """Gets no answer."""

    hidden: Tensor


@kind("cpu")
@dataclass(frozen=True, slots=True)
class Cpu(Kind[Any]):
    """Process time so far; asked with 0."""

    cpu_ns: Moment


class Peer:
    """Sends, and awaits what comes back: one call at a time."""

    def __init__(self, mail: Mail, payload_bytes: int) -> None:
        self.mail = mail
        self.payload = np.zeros(payload_bytes // 4, np.float32)
        self.answer: asyncio.Future[Message[Any]] = asyncio.get_running_loop().create_future()

    def on_message(self, message: Message[Any]) -> None:
        self.answer.set_result(message)

    def message(self, content: Kind[Any]) -> Message[Any]:
        return Message(content, "chip", "expert")

    def ping(self) -> Ping:
        return Ping(np.arange(1), np.zeros(1, np.int32), self.payload)

    async def call(self, content: Kind[Any]) -> Message[Any]:
        self.answer = asyncio.get_running_loop().create_future()
        await self.send(content)
        return await self.answer

    async def send(self, content: Kind[Any]) -> None:
        if (turn := self.mail.send("echo", self.message(content))) is not None:
            await turn

    async def cpu_ns(self) -> int:
        """Process time of both processes so far."""
        return process_time_ns() + int((await self.call(Cpu(0))).content.cpu_ns)

    async def round_trips(self, number: int) -> tuple[list[int], float]:
        """Nanoseconds of each, and CPU microseconds per message."""
        times, before = [], await self.cpu_ns()
        for _ in range(number):
            start = perf_counter_ns()
            await self.call(self.ping())
            times.append(perf_counter_ns() - start)
        return times, (await self.cpu_ns() - before) / 1e3 / (2 * number)

    async def one_way(self, number: int) -> tuple[float, float]:
        """Messages a second, and CPU microseconds per message."""
        before, start = await self.cpu_ns(), perf_counter_ns()
        for _ in range(number):
            await self.send(Push(self.payload))
        await self.call(self.ping())
        seconds = (perf_counter_ns() - start) / 1e9
        return number / seconds, (await self.cpu_ns() - before) / 1e3 / number


async def echo(wire: str) -> None:
    """The other process: answers all but "push", until its input closes."""
    mail = Mail(GrpcTransport("echo", unix=wire == "unix"), Frames())
    loop = asyncio.get_running_loop()

    def on_message(message: Message[Any]) -> None:
        content = message.content
        if not isinstance(content, Push):
            said = Cpu(process_time_ns()) if isinstance(content, Cpu) else content
            answer = Message(said, "expert", "chip")
            if (turn := mail.send("bench", answer)) is not None:
                tasks.append(asyncio.ensure_future(turn))
                del tasks[:-1]

    tasks: list[asyncio.Future[None]] = []
    print(await mail.start(on_message, lambda node, reason: None), flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    await mail.close()


async def measure(wire: str, payload_bytes: int, number: int) -> list[Row]:
    command = [sys.executable, "-m", "benchmarks.transport", "--echo", wire]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdin is not None and child.stdout is not None
    mail = Mail(GrpcTransport("bench", unix=wire == "unix"), Frames())
    peer = Peer(mail, payload_bytes)
    try:
        address = child.stdout.readline().strip()
        await mail.start(peer.on_message, lambda node, reason: None)
        await mail.connect({"echo": address})
        await peer.round_trips(WARM_UP)
        times, cpu_us = await peer.round_trips(number)
        await peer.one_way(WARM_UP)
        per_s, one_way_cpu_us = await peer.one_way(number)
    finally:
        await mail.close()
        child.stdin.close()
        child.wait()
    p99 = sorted(times)[len(times) * 99 // 100]
    case, cpu = f"{wire}, {payload_bytes // 1024} KiB", f"CPU {cpu_us:.0f} us a message"
    one_way_cpu = f"CPU {one_way_cpu_us:.0f} us a message"
    return [
        figure(
            f"round trip, {case}, median", median(times) / 1e3, "us", f"{number} one by one; {cpu}"
        ),
        figure(f"round trip, {case}, p99", p99 / 1e3, "us", f"{number} one by one"),
        figure(f"one way, {case}", per_s, "messages/s", f"{number} in a row; {one_way_cpu}"),
    ]


def figure(name: str, value: float, unit: str, how: str) -> Row:
    return Row(name, round(value, 1), unit, "none", True, f"measured: {how}")


def codec_rows(number: int) -> Iterator[Row]:
    """Encoding and decoding a dispatch of four tokens with 128 fp32 each."""
    tokens = Dispatch(
        0,
        np.arange(4, dtype=np.uint64),
        np.arange(4, dtype=np.int64),
        np.zeros((4, 8), np.int32),
        np.ones((4, 8), np.float32),
        np.ones((4, 128), np.float32),
    )
    message = Message(tokens, "chip0", "expert3")
    frame = encode(message)
    start = perf_counter_ns()
    for _ in range(number):
        encode(message)
    middle = perf_counter_ns()
    for _ in range(number):
        decode(frame)
    end = perf_counter_ns()
    what = f"mean of {number}; 4 tokens of 128 fp32, 8 experts each"
    yield figure("encode a dispatch", (middle - start) / 1e3 / number, "us", what)
    yield figure("decode a dispatch", (end - middle) / 1e3 / number, "us", what)


def main() -> int:
    parser = arguments(__doc__ or "")
    parser.add_argument("--messages", type=int, default=2000, help="of each kind")
    parser.add_argument("--echo", metavar="WIRE", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.echo:
        asyncio.run(echo(chosen.echo))
        return 0
    rows = list(codec_rows(chosen.messages))
    for wire in ("tcp", "unix"):
        for payload_bytes in PAYLOADS:
            rows += asyncio.run(measure(wire, payload_bytes, chosen.messages))
    return report(rows, chosen.json, "Messages between two processes, gRPC")


if __name__ == "__main__":
    sys.exit(main())
