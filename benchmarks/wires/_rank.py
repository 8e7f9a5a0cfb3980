"""A rank in a process of its own: `python -m benchmarks.wires._rank KIND RANK RANKS FOLDER ROUNDS`.

KIND is `int8` or `bf16` (how our sums travel back; tokens travel as int8), or `gloo`. Ranks find
each other by files in the folder.
"""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.wires._loop import (
    HIDDEN,
    ROW_BYTES,
    TOKENS,
    TURNS,
    keep,
    leave_together,
    pin,
    rows_of,
    timed,
)
from kernels import codec
from kernels.all_to_all import AllToAll, Geometry, Tokens
from kernels.all_to_all.rank import Rank
from kernels.numbers import from_bf16, to_bf16

SECRET = b"of this benchmark alone"
TIMEOUT_NS = 20_000_000_000


def packed(rank: int, turn: int) -> np.ndarray:
    """A rank's tokens of a turn as they travel."""
    return codec.pack(rows_of(rank, turn), np.zeros((TOKENS, 1), np.int32), 1)[0]


def tokens(count: int, ranks: int, hidden: np.ndarray) -> Tokens:
    """Each wants one expert of every rank."""
    return Tokens(
        np.arange(count, dtype=np.uint64),
        np.arange(count),
        np.tile(np.arange(ranks, dtype=np.int32), (count, 1)),
        np.ones((count, ranks), np.float32),
        hidden,
    )


class Ours:
    """Experts give back what they got: with int8 the very bytes, with bf16 what stands for them,
    rounded before the clock starts. Sums are made, in the order of ranks.
    """

    def __init__(self, back: str, rank: int, ranks: int, folder: Path) -> None:
        assert back in ("int8", "bf16")
        geometry = Geometry(
            ranks, TOKENS, HIDDEN, ranks, ranks, "int8", "int8" if back == "int8" else "bf16"
        )
        self.member, self.shown, self.attach = self.begun(geometry, rank)
        self.everybody = tuple(range(ranks))
        self.owners = np.array([*range(ranks), -1], np.int32)
        sent = [packed(rank, turn) for turn in range(TURNS)]
        self.sent = [tokens(TOKENS, ranks, rows) for rows in sent]
        self.none = tokens(0, ranks, sent[0][:0])
        self.answers = None
        values = [codec.unpack(rows, HIDDEN) for rows in sent]
        if back == "bf16":
            self.answers = [
                [to_bf16(codec.unpack(packed(source, turn), HIDDEN)) for source in range(ranks)]
                for turn in range(TURNS)
            ]
            values = [from_bf16(to_bf16(rows)) for rows in values]
        self.wanted = [sum([rows] * (ranks - 1), rows) for rows in values]
        self.sums = np.empty((TOKENS, HIDDEN), np.float32)
        self.meet(folder, rank)

    def begun(self, geometry: Geometry, rank: int) -> tuple[Rank, str, Callable[[str], int]]:
        """The rank, its address as text, and what attaches another's."""
        member = AllToAll(geometry, rank, SECRET)
        return member, member.address, member.attach

    def meet(self, folder: Path, rank: int) -> None:
        own = folder / f"{rank}.address"
        own.with_suffix(".partial").write_text(self.shown, encoding="utf-8")
        own.with_suffix(".partial").rename(own)
        for other in self.everybody:
            path = folder / f"{other}.address"
            while not path.exists():
                time.sleep(0.01)
            if other != rank:
                self.attach(path.read_text(encoding="utf-8"))

    def barrier(self) -> None:
        member = self.member
        handle = member.dispatch_send(self.none, self.owners, TIMEOUT_NS, everyone=True)
        for arrived in member.dispatch_receive(TIMEOUT_NS, self.everybody):
            member.combine_send(arrived, arrived.rows if self.answers is None else None)
        if self.answers is None:
            member.combine_receive(handle, TIMEOUT_NS)
        else:
            member.combine_receive_partial(handle, TIMEOUT_NS)

    def exchange(self, turn: int) -> None:
        member, answers = self.member, self.answers
        handle = member.dispatch_send(self.sent[turn], self.owners, TIMEOUT_NS)
        for arrived in member.dispatch_receive(TIMEOUT_NS, self.everybody):
            rows = arrived.rows if answers is None else answers[turn][arrived.source]
            member.combine_send(arrived, rows)
        member.combine_receive(handle, TIMEOUT_NS, self.sums)

    def check(self, turn: int) -> None:
        assert np.array_equal(self.sums, self.wanted[turn])


class Gloo:
    """torch's all_to_all_single, there and back."""

    def __init__(self, rank: int, ranks: int, folder: Path) -> None:
        import torch
        from torch import distributed

        torch.set_num_threads(1)
        distributed.init_process_group(
            "gloo", init_method=f"file://{folder}/gloo", rank=rank, world_size=ranks
        )
        self.all_to_all, self.wait = distributed.all_to_all_single, distributed.barrier
        self.sent = [
            torch.from_numpy(np.tile(packed(rank, turn).reshape(-1), ranks))
            for turn in range(TURNS)
        ]
        self.there, self.back = torch.zeros(2, ranks * TOKENS * ROW_BYTES, dtype=torch.uint8)

    def barrier(self) -> None:
        self.wait()

    def exchange(self, turn: int) -> None:
        self.all_to_all(self.there, self.sent[turn])
        self.all_to_all(self.back, self.there)

    def check(self, turn: int) -> None:
        assert self.back.equal(self.sent[turn])


def main() -> None:
    kind, rank, ranks, folder, rounds = sys.argv[1:]
    pin(int(rank))
    place = (int(rank), int(ranks), Path(folder))
    contestant = Gloo(*place) if kind == "gloo" else Ours(kind, *place)
    keep(timed(contestant, int(rounds)), folder, int(rank))
    # Nobody leaves while another still waits for it. Not by a barrier of its own: in gloo's whoever
    # is through may be gone before the other has heard of it.
    leave_together(folder, int(ranks))
    if kind == "gloo":
        os._exit(0)  # its threads, told to end with Python's, may end the process by SIGABRT


if __name__ == "__main__":
    main()
