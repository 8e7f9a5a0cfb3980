"""A rank in a network namespace of its own:
`python -m benchmarks.wires._far_rank KIND RANK FOLDER ROUNDS`.

KIND is `ucx` (the native all-to-all), or `grpc`: the same bytes over the project's gRPC streams,
there and back. It says "entered", waits for a line, and goes on once the network stands. Ranks find
each other by files in the folder.
"""

import asyncio
import sys
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.wires import relay, veth
from benchmarks.wires._loop import ROW_BYTES, TOKENS, TURNS, keep, leave_together, pin, timed
from benchmarks.wires._rank import SECRET, Ours, packed
from kernels.all_to_all import Geometry, UcxAllToAll
from kernels.all_to_all.rank import Rank
from workers.wire.transport.base import Buffer
from workers.wire.transport.frame import MAGIC, PREFIX
from workers.wire.transport.grpc import GrpcTransport

RANKS = 2
TOKEN = "far"
NAMES = ("a", "b")


class Far(Ours):
    """The same over UCX."""

    def begun(self, geometry: Geometry, rank: int) -> tuple[Rank, str, Callable[[str], int]]:
        member = UcxAllToAll(geometry, rank, SECRET)
        return member, member.address.hex(), lambda shown: member.attach(bytes.fromhex(shown))


def found(folder: Path, name: str) -> str:
    path = folder / name
    while not path.exists():
        time.sleep(0.01)
    return path.read_text(encoding="utf-8")


def frame_of(body: bytes) -> bytes:
    return PREFIX.pack(MAGIC, 0, 0, PREFIX.size + len(body)) + body


class Grpc:
    """A frame of all rows to the other, which sends them back as they came; its own go nowhere."""

    WORK, ANSWER = b"w", b"a"

    def __init__(self, rank: int, folder: Path) -> None:
        self.sent = [packed(rank, turn).tobytes() for turn in range(TURNS)]
        assert len(self.sent[0]) == TOKENS * ROW_BYTES
        self.back, self.other = b"", NAMES[1 - rank]
        self.loop = asyncio.new_event_loop()
        self.came = {self.WORK: asyncio.Queue[bytes](), self.ANSWER: asyncio.Queue[bytes]()}
        self.wire = GrpcTransport(NAMES[rank], token=TOKEN, host=relay.ADDRESSES[rank])
        self.loop.run_until_complete(self.meet(NAMES[rank], folder))

    async def meet(self, name: str, folder: Path) -> None:
        def hear(frame: Buffer) -> None:
            body = bytes(frame)[PREFIX.size :]
            self.came[body[:1]].put_nowait(body[1:])

        address = await self.wire.start(hear, lambda node, reason: None)
        (folder / f"{name}.partial").write_text(address, encoding="utf-8")
        (folder / f"{name}.partial").rename(folder / name)
        there = await asyncio.to_thread(found, folder, self.other)
        await self.wire.connect({self.other: there})

    async def say(self, kind: bytes, rows: bytes) -> None:
        turn = self.wire.send(self.other, [frame_of(kind + rows)])
        if turn is not None:
            await turn

    async def trip(self, rows: bytes) -> bytes:
        await self.say(self.WORK, rows)
        await self.say(self.ANSWER, await self.came[self.WORK].get())
        return await self.came[self.ANSWER].get()

    def barrier(self) -> None:
        self.loop.run_until_complete(self.trip(b""))

    def exchange(self, turn: int) -> None:
        self.back = self.loop.run_until_complete(self.trip(self.sent[turn]))

    def check(self, turn: int) -> None:
        assert self.back == self.sent[turn]

    def close(self) -> None:
        self.loop.run_until_complete(self.wire.close())


def main() -> None:
    kind, number, place, rounds = sys.argv[1:]
    rank, folder = int(number), Path(place)
    veth.enter_namespace()
    print("entered", flush=True)
    sys.stdin.readline()  # the network stands
    pin(rank)
    contestant = Grpc(rank, folder) if kind == "grpc" else Far("int8", rank, RANKS, folder)
    keep(timed(contestant, int(rounds)), place, rank)
    leave_together(place, RANKS)
    if isinstance(contestant, Grpc):
        contestant.close()


if __name__ == "__main__":
    main()
