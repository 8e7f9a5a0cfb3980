"""How slow the wall must be: `python -m benchmarks.wires.dilation [--json FILE]`.

The demo in the default local cluster over each wire, paced, at ever lower dilation: the lowest at
which all that `benchmarks.worlds` asks of it holds (medians of TTFT and TPOT beside the virtual
world, how much is late, tokens). Found by halving a ladder, on which whatever holds is taken to
hold further up; the wires' runs stand in turn.

Expected before the first run: what is late is so for want of processor time, of which a paced token
takes some 5 ms by gRPC and 3 by shared memory (`decode` has 4.1 and 2.3 unpaced, with messages),
and for two wake-ups of 50 us to 1 ms a hop, which no wire changes. A message to a shard and back
takes 4 us and more of emulated time: at 3,000 that is 12 ms for some 2 ms of software. So medians
hold below 3,000 on either wire, and the share of what is late by more than 1 % of a TPOT (at 3,000
some 2 ms) is what fails first: at 0.6 of gRPC's dilation by shared memory, perhaps 0.5.
"""

import sys
from collections.abc import Sequence

from benchmarks.rows import Row, arguments, report
from benchmarks.runs import LOCAL, demo
from benchmarks.worlds import NUM_REQUESTS, beside, in_virtual, run_live
from cluster.workload.driver import Answer
from cluster.worlds.blueprint import Blueprint

LADDER = (500, 700, 1_000, 1_400, 2_000, 2_800, 4_000, 5_600, 8_000, 12_000)
WIRES = ("grpc", "shm")
LOWEST_BAR, RATIO_BAR = 3_000, 0.5


class Descent:
    """One wire's way down: between a rung that failed and one that held."""

    def __init__(self, wire: str) -> None:
        self.wire = wire
        self._failed, self._held = -1, len(LADDER)
        self.told: list[str] = []

    @property
    def is_done(self) -> bool:
        return self._held - self._failed == 1

    @property
    def lowest(self) -> int | None:
        """None: not even the highest holds."""
        return LADDER[self._held] if self._held < len(LADDER) else None

    def step(self, virtual: Sequence[Answer]) -> None:
        rung = (self._failed + self._held) // 2
        changes = {**LOCAL, "cluster.transport": self.wire, "cluster.dilation": LADDER[rung]}
        answers, lateness = run_live(Blueprint.draw(demo(NUM_REQUESTS, changes)))
        rows = beside(answers, lateness, virtual, LADDER[rung])
        holds = all(row.holds for row in rows)
        self._failed, self._held = (self._failed, rung) if holds else (rung, self._held)
        ttft, tpot, overruns, differing = (float(row.value) for row in rows)
        self.told.append(
            f"{LADDER[rung]:,} {'holds' if holds else 'does not'} (TTFT {ttft:+.1f} %, TPOT "
            f"{tpot:+.1f} %, {overruns:.1f} % late, {differing:.0f} differ)"
        )


def run(wires: Sequence[str] = WIRES) -> list[Row]:
    virtual = in_virtual()
    ways = [Descent(wire) for wire in wires]
    while not all(way.is_done for way in ways):
        for way in ways:
            if not way.is_done:
                way.step(virtual)
    return rows(ways)


def rows(ways: Sequence[Descent]) -> list[Row]:
    lowest = {way.wire: way.lowest for way in ways}
    found = []
    for way in ways:
        has_bar = way.wire == "shm"
        holds = way.lowest is not None and way.lowest <= LOWEST_BAR
        found.append(
            Row(
                f"lowest dilation at which the demo's bars hold: {way.wire}",
                way.lowest or "none",
                "",
                f"<= {LOWEST_BAR:,}" if has_bar else "none: shown",
                holds or not has_bar,
                f"measured: {'; '.join(way.told)}",
            )
        )
    shm, grpc = lowest.get("shm"), lowest.get("grpc")
    if shm and grpc:
        ratio = shm / grpc
        name = "the same, shared memory beside gRPC"
        evidence = f"measured: {shm:,} beside {grpc:,}, rungs of the square root of 2"
        found.append(Row(name, ratio, "x", f"<= {RATIO_BAR}", ratio <= RATIO_BAR, evidence))
    return found


def main() -> int:
    parser = arguments("The lowest dilation at which the demo's bars hold, by wire.")
    parser.add_argument("--wires", nargs="+", default=WIRES, choices=("grpc", "shm", "ucx"))
    options = parser.parse_args()
    return report(run(options.wires), options.json, "Lowest dilation")


if __name__ == "__main__":
    sys.exit(main())
