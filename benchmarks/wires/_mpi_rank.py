"""A rank of MPICH: `mpiexec -n RANKS python -m benchmarks.wires._mpi_rank FOLDER ROUNDS`.

Two calls of Alltoallv, there and back, of the bytes that our own ranks send. What is sent is packed
for all ranks before the clock starts, and nothing is summed.
"""

import sys

import numpy as np
from mpi4py import MPI

from benchmarks.wires._loop import ROW_BYTES, TOKENS, TURNS, keep, pin, rows_of, timed

PAIR_BYTES = TOKENS * ROW_BYTES


class Mpi:
    def __init__(self) -> None:
        self.world = MPI.COMM_WORLD
        size = self.world.size
        counts, places = [PAIR_BYTES] * size, [PAIR_BYTES * rank for rank in range(size)]
        self.sent = [
            np.tile(rows_of(self.world.rank, turn).view(np.uint8).reshape(-1)[:PAIR_BYTES], size)
            for turn in range(TURNS)
        ]
        self.there, self.back = np.zeros((2, size * PAIR_BYTES), np.uint8)
        self.ways = [[sent, counts, places, MPI.BYTE] for sent in self.sent]
        self.way_there = [self.there, counts, places, MPI.BYTE]
        self.way_back = [self.back, counts, places, MPI.BYTE]

    def barrier(self) -> None:
        self.world.Barrier()

    def exchange(self, turn: int) -> None:
        self.world.Alltoallv(self.ways[turn], self.way_there)
        self.world.Alltoallv(self.way_there, self.way_back)

    def check(self, turn: int) -> None:
        assert np.array_equal(self.back, self.sent[turn])


def main() -> None:
    folder, rounds = sys.argv[1], int(sys.argv[2])
    ranks = Mpi()
    pin(ranks.world.rank)
    keep(timed(ranks, rounds), folder, ranks.world.rank)


if __name__ == "__main__":
    main()
