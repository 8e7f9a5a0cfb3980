"""Delays that are put on a link, as they are observed: `python -m benchmarks.wires.injected [--json
FILE]`.

Two nodes in processes of their own at dilation 1, on each wire; a delay is from the emulated moment
at which `a` sends until `b`'s worker has the message. Fixed delays of 1, 5 and 20 ms and none take
turns, a block of messages each. Of the distributions 10,000 messages each, less the lateness of the
fixed ones, against the distribution by Kolmogorov and Smirnov; messages overtake each other.

Expected before the first run: delay counts from the send, and a message crosses the wire meanwhile:
what is observed is the delay and how late a timer wakes its process, 0.05 to 0.1 ms, where a free
message pays 0.1 to 0.3 ms for crossing. So the error beyond the wire's own is below zero at the
median; at the 99th percentile both are as late as the machine lets them. A hundredth of a
distribution is 0.2 ms and more here, so that 0.1 ms of noise leaves Kolmogorov and Smirnov calm.
(What is drawn depends on when a message is sent: one test in a hundred fails by chance.)
"""

import asyncio
import sys
from collections.abc import Mapping, Sequence
from statistics import quantiles
from typing import Any

from scipy import stats

from benchmarks.rows import Row, arguments, report
from benchmarks.wires.round_trip import is_here
from benchmarks.wires.two_nodes import WIRES, Talk, talking
from configs.schema import load_scenario
from configs.schema.faults import FaultRule, link_faults

MS = 1_000_000
FIXED_MS = (0, 1, 5, 20)
BLOCKS, BLOCK = 15, 100  # of each delay, and messages of one
EVERY_NS = 2 * MS
NUM_DRAWN = 10_000
P50_BAR_MS, P99_BAR_MS = 0.2, 1.0
SIGNIFICANCE = 0.01
DISTRIBUTIONS: Mapping[str, tuple[Mapping[str, object], Any]] = {
    "normal": (
        {"distribution": "normal", "latency": "200 ms", "jitter": "20 ms"},
        stats.norm(200, 20),
    ),
    "lognormal": (
        {"distribution": "lognormal", "median": "50 ms", "sigma": 0.6},
        stats.lognorm(0.6, scale=50),
    ),
    "pareto": (
        {"distribution": "pareto", "scale": "50 ms", "alpha": 2.5},
        stats.pareto(2.5, scale=50),
    ),
}


def fault(attributes: Mapping[str, object]) -> dict[str, FaultRule]:
    rule = {"type": "latency", "source": "a", "destination": "b", "attributes": dict(attributes)}
    # By the words that a user writes; the names are these nodes', not the demo's.
    return dict(link_faults(load_scenario("demo", {"faults": [rule]}).faults))


class Observed:
    """Says numbers on one wire, and remembers under what they were said."""

    def __init__(self, talk: Talk) -> None:
        self._talk = talk
        self._said: list[tuple[str, int]] = []  # by number: what stood, and when it left

    async def say(self, under: str, faults: Mapping[str, FaultRule], count: int) -> None:
        clock = self._talk.node.clock
        self._talk.faults.become(faults)
        clock.join_wall()  # what was done before is no part of it
        begun_ns = clock.now()
        for turn in range(count):
            await clock.wait_until(begun_ns + turn * EVERY_NS)
            self._said.append((under, await self._talk.say(len(self._said))))

    async def delays_ms(self) -> dict[str, list[float]]:
        """Under what -> each message's delay."""
        came = await self._talk.arrived_ns(len(self._said))
        found: dict[str, list[float]] = {}
        for number, (under, left_ns) in enumerate(self._said):
            found.setdefault(under, []).append((came[number] - left_ns) / MS)
        return found


async def observe(
    wire: str, blocks: int = BLOCKS, block: int = BLOCK, num_drawn: int = NUM_DRAWN
) -> dict[str, list[float]]:
    """Fixed delay in ms, or a distribution's name -> milliseconds of each message."""
    fixed = {str(ms): fault({"latency": f"{ms} ms"}) if ms else {} for ms in FIXED_MS}
    async with talking(wire) as talk:
        observed = Observed(talk)
        await observed.say("warm-up", {}, block)
        for _ in range(blocks):
            for name, faults in fixed.items():
                await observed.say(name, faults, block)
        for name, (attributes, _) in DISTRIBUTIONS.items():
            await observed.say(name, fault(attributes), num_drawn)
        return await observed.delays_ms()


def _percentiles(values: Sequence[float]) -> tuple[float, float]:
    parts = quantiles(values, n=100)
    return parts[49], parts[98]


def rows_of(wire: str, found: Mapping[str, Sequence[float]]) -> list[Row]:
    """Of one wire."""
    own50, own99 = _percentiles(found["0"])
    rows, late50 = [], 0.0
    for ms in FIXED_MS[1:]:
        p50, p99 = _percentiles([value - ms for value in found[str(ms)]])
        late50 = max(late50, p50)
        for name, error, own, bar in (
            ("p50", p50, own50, P50_BAR_MS),
            ("p99", p99, own99, P99_BAR_MS),
        ):
            how = f"measured: {len(found[str(ms)])} messages: {error:.3f} ms late, of its own "
            rows.append(
                Row(
                    f"injected {ms} ms, {wire}: {name} beyond the wire's own",
                    round(error - own, 3),
                    "ms",
                    f"<= {bar} ms",
                    error - own <= bar,
                    f"{how}{own:.3f} ms",
                )
            )
    return rows + [_row_of_distribution(wire, name, found, late50) for name in DISTRIBUTIONS]


def _row_of_distribution(
    wire: str, name: str, found: Mapping[str, Sequence[float]], late_ms: float
) -> Row:
    drawn = [value - late_ms for value in found[name]]
    tested = stats.kstest(drawn, DISTRIBUTIONS[name][1].cdf)
    how = f"measured: {len(drawn):,} messages, statistic {tested.statistic:.4f}"
    return Row(
        f"injected {name}, {wire}: p of Kolmogorov-Smirnov",
        round(float(tested.pvalue), 4),
        "",
        f"> {SIGNIFICANCE}",
        bool(tested.pvalue > SIGNIFICANCE),
        f"{how}, {late_ms:.3f} ms late",
    )


def run(wires: Sequence[str] = tuple(WIRES)) -> list[Row]:
    """On the wires that are here."""
    rows: list[Row] = []
    for wire in wires:
        if is_here(wire):
            rows += rows_of(wire, asyncio.run(observe(wire)))
    return rows


def main() -> int:
    parser = arguments("Delays that are put on a link, as they are observed.")
    parser.add_argument("--wires", nargs="+", choices=list(WIRES), default=list(WIRES))
    options = parser.parse_args()
    return report(run(options.wires), options.json, "Injected delays")


if __name__ == "__main__":
    sys.exit(main())
