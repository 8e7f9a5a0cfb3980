"""Hardware's part of the laws: links that rules narrow, pages in flight, capacities, rates, and no
resource used by more than all of it.
"""

import random
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.laws._busiest import busiest_window
from benchmarks.rows import Row
from configs.plan import ChipPlan
from configs.schema import ScenarioError, load_device, load_scenario
from configs.schema.device import TierSpec
from tests.cluster.faults.only_links import RULE, scenario, took_ms
from tests.configs.test_capacity import CAPACITIES, plan
from tests.configs.test_rates import TOO_SLOW
from tests.golden.scenarios import SCENARIOS
from tests.workers.bench import make_device, make_tier, run_alone
from tests.workers.hardware.places import simulated
from workers.hardware.hardware import Hardware
from workers.hardware.work import Demand, Work
from workers.host.clock.virtual import VirtualClock
from workers.host.trace import Trace
from workers.wire.lane import lane_of

KIB = 1 << 10
RANDOM_READS = 300
CONTEXT_TOKENS = 131_072


def rows(seed: int) -> Iterator[Row]:
    yield from rule_rows()
    yield from page_rows(random.Random(seed))
    yield from capacity_rows()
    yield rate_row()
    yield from slow_sender_rows()
    yield from utilisation_rows()


def near(name: str, value: float, unit: str, right: float, within: float, how: str) -> Row:
    """A number beside the one that hand arithmetic gives, and how far off it may be."""
    holds = abs(value - right) <= within * right
    return Row(name, value, unit, f"{right:,g} within {within:.1%}", holds, how)


# -- bandwidth rules -------------------------------------------------------------------------------


def rule_rows() -> Iterator[Row]:
    hand = "measured: 3,736,300 bytes of KV at 1 GB/s by hand"
    for sharing in ("fair", "fifo"):
        with TemporaryDirectory() as folder:
            path = scenario("10 GB/s", "1 GB/s", RULE, sharing=sharing)
            name = f"rule of 1 GB/s on a path of 10 then 1 GB/s ({sharing})"
            yield near(name, took_ms(path, Path(folder))[-1], "ms", 3.7367, 0.001, hand)
            rule = {**RULE, "destination": "decode-0"}
            two = scenario("100 GB/s", "100 GB/s", rule, num=2, sharing=sharing)
            name = f"two sources, rule of 1 GB/s into one destination, last end ({sharing})"
            yield near(name, took_ms(two, Path(folder))[-1], "ms", 7.4726, 0.001, hand)


# -- pages in flight -------------------------------------------------------------------------------


def page_rows(rng: random.Random) -> Iterator[Row]:
    flash: dict[str, Any] = {
        "read_bytes_per_s": 8 * 10**12,
        "write_bytes_per_s": 8 * 10**12,
        "page_bytes": 4 * KIB,
        "queue_depth": 16,
        "read_latency_ns": 20_000,
        "write_latency_ns": 20_000,
    }
    for sharing in ("fair", "fifo"):
        tier = make_tier(**flash, sharing=sharing)
        for way in ("read", "write"):
            took_us = one_after_the_other(tier, [64 * KIB] * 3, way) / 1e3
            name = f"three {way}s of 16 pages, depth 16, 20 us, 8 TB/s ({sharing})"
            how = "measured: 3 x (20 us + 64 KiB / 8 TB/s) by hand"
            yield near(name, took_us, "us", 60.0246, 0.001, how)
    worst = max(random_reads_error_ns(rng) for _ in range(RANDOM_READS))
    yield Row(
        f"{RANDOM_READS} random queues of reads, in order: farthest from page by page",
        float(worst),
        "ns",
        "<= 1 a read before it",
        worst <= 1,
        "measured: brute force with exact fractions; depths 1 to 64, up to 40 concurrent reads",
    )


def one_after_the_other(tier: TierSpec, sizes: list[int], way: str) -> int:
    async def job(clock: VirtualClock) -> int:
        machine = Hardware("flash", make_device({"hbm": tier}), clock, Trace(), None)
        for num_bytes in sizes:
            await machine.run(Work("w", (Demand(f"hbm.{way}", num_bytes),)), lambda: None)
        return clock.now()

    return run_alone(job)


def random_reads_error_ns(rng: random.Random) -> float:
    """Of random reads of a random tier: the largest lateness for each read before, in ns."""
    page_bytes, rate = rng.choice([64, 4_096, 16_384]), rng.choice([10**9, 16 * 10**11, 8 * 10**12])
    depth, latency_ns = rng.randint(1, 64), rng.randint(1, 50_000)
    tier = make_tier(
        read_bytes_per_s=rate,
        page_bytes=page_bytes,
        queue_depth=depth,
        read_latency_ns=latency_ns,
    )
    pages = sorted(
        (rng.randint(0, 10 * latency_ns), rng.randint(1, 5 * depth))
        for _ in range(rng.randint(1, 40))
    )
    machine = Hardware("flash", make_device({"hbm": tier}), VirtualClock(), Trace(), None)
    exact = simulated(pages, depth, Fraction(page_bytes * 10**9, rate), latency_ns)
    worst = 0.0
    for before, ((at_ns, num), end) in enumerate(zip(pages, exact, strict=True), start=2):
        got_ns = machine.launch(Work.of("w", reads={"hbm": num * page_bytes}), at_ns).due_ns
        worst = max(worst, float(abs(got_ns - end)) / before)
    return worst


# -- capacities, rates -----------------------------------------------------------------------------


def capacity_rows() -> Iterator[Row]:
    wrong = sum(
        load_device(name).tiers[tier].capacity_bytes != num_bytes
        for (name, tier), num_bytes in CAPACITIES.items()
    )
    source = "measured: beside each figure's source in configs/devices"
    yield Row(
        "capacities of presets that are not their source's", wrong, "", "0", not wrong, source
    )
    (chip,) = (worker for worker in plan().workers if isinstance(worker, ChipPlan))
    tokens = chip.num_kv_blocks * 16
    yield Row(
        "KV of Qwen3-30B-A3B in bf16 on one H100",
        tokens,
        "tokens",
        f">= {CONTEXT_TOKENS:,}",
        tokens >= CONTEXT_TOKENS,
        "projection: 90 % of 81,559 MiB less weights and activations, 98,304 B a token",
    )


def rate_row() -> Row:
    refused = 0
    for key, value, message in TOO_SLOW:
        try:
            load_scenario("demo", {f"cluster.nodes.decode.{key}": value})
        except ScenarioError as error:
            refused += any(message in problem for problem in error.problems)
    num = len(TOO_SLOW)
    name = "rates and efficiencies that round to nothing, refused by key, value and remedy"
    return Row(name, refused, "", f"{num} of {num}", refused == num, "measured: every kind of rate")


def slow_sender_rows() -> Iterator[Row]:
    """50 GB at 50 GB/s from 0 s on, and 50 GB at 100 GB/s from 0.5 s on, into 100 GB/s: by 0.5 s 25
    GB are in, and the other 75 take 0.75 s.
    """
    for sharing in ("fair", "fifo"):
        seconds = slow_then_fast_s(sharing)
        how = "measured: by hand, 25 GB by 0.5 s and 75 GB at 100 GB/s"
        yield near(
            f"a slow sender's bytes and a fast one's ({sharing})", seconds, "s", 1.25, 0, how
        )


def slow_then_fast_s(sharing: Any) -> float:
    class Told:
        end_ns = -1

        def took_back(self) -> None:
            self.end_ns = -1

        def ended(self, end_ns: int) -> None:
            self.end_ns = end_ns

    async def job(clock: VirtualClock) -> float:
        lane = lane_of(100 * 10**9, sharing, clock)
        slow, fast = Told(), Told()
        _, slow.end_ns = lane.start(0, 50 * 10**9, slow, 50 * 10**9)
        await clock.wait_until(500_000_000)
        _, fast.end_ns = lane.start(500_000_000, 50 * 10**9, fast, 100 * 10**9)
        await clock.wait_until(10**10)
        return max(slow.end_ns, fast.end_ns) / 1e9

    return run_alone(job)


# -- utilisation -----------------------------------------------------------------------------------


def utilisation_rows() -> Iterator[Row]:
    for name in SCENARIOS:
        share, resource, num = busiest_window(name)
        yield Row(
            f"busiest stretch of any resource, golden scenario {name}",
            share,
            "of the resource",
            "<= 1",
            0 < share <= 1,
            f"measured: {resource}; {num:,} services over every stretch from one's begin to "
            "another's end",
        )
