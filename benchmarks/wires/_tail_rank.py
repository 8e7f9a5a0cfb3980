"""A rank that says of each long round where its time went: `python -m benchmarks.wires._tail_rank
RANK RANKS FOLDER ROUNDS`.
"""

import json
import os
import sys
import time
from pathlib import Path

from benchmarks.wires._loop import TURNS, WARM_UP_PART, leave_together, pin
from benchmarks.wires._rank import Ours

# Of rounds that are at least so long, or before which a rank waited so long, it is kept where the
# time went.
LONG_NS = 1_000_000


class Scheduler:
    """What the kernel has counted of this thread, in nanoseconds: it ran, and it could have run and
    had no processor (Documentation/scheduler/sched-stats.rst of Linux).
    """

    def __init__(self) -> None:
        self._file = os.open("/proc/thread-self/schedstat", os.O_RDONLY)

    def look(self) -> tuple[int, int]:
        ran, waited, _ = os.pread(self._file, 64, 0).split()
        return int(ran), int(waited)


def main() -> None:
    rank, ranks, folder, rounds = sys.argv[1:]
    pin(int(rank))
    contestant, scheduler = Ours("int8", int(rank), int(ranks), Path(folder)), Scheduler()
    durations, long = [], {}
    warm = int(rounds) // WARM_UP_PART
    _, waited_before = scheduler.look()
    for number in range(-warm, int(rounds)):
        turn = number % TURNS
        contestant.barrier()
        ran, waited = scheduler.look()
        start = time.perf_counter_ns()
        contestant.exchange(turn)
        took = time.perf_counter_ns() - start
        contestant.check(turn)
        ran_after, waited_after = scheduler.look()
        if number >= 0:
            durations.append(took)
            # Others begin without one that still waits in the barrier: theirs is the long round.
            since_ns = waited_after - waited_before
            if max(took, since_ns) >= LONG_NS:
                long[number] = ran_after - ran, waited_after - waited, since_ns
        waited_before = waited_after
    kept = json.dumps({"durations": durations, "long": long})
    Path(folder, f"{rank}.json").write_text(kept, encoding="utf-8")
    leave_together(folder, int(ranks))


if __name__ == "__main__":
    main()
