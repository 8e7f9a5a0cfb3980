"""What arrives when, in virtual time: a delay is the draw to the nanosecond, and nothing else."""

from typing import Any

import numpy as np
import pytest
from scipy import stats

from cluster.faults.distributions import Correlated, LogNormal, Normal, Pareto, drawn_ns
from cluster.faults.standing import StandingFaults
from configs.schema import load_scenario
from configs.schema.faults import link_faults
from tests.workers.bench import LATENCY_NS, Bench
from tests.workers.wire.parcel import Parcel
from workers.host.rng import Rng
from workers.host.trace import Delivered

SEED = 7
MS = 1_000_000
BYTES = 1  # at a byte a nanosecond: hardly two are ever on the receiver's link at once
OWN_NS = LATENCY_NS + BYTES


def arrived(num: int, every_ns: int, *faults: dict[str, Any]) -> list[tuple[int, int]]:
    """(number, when) of messages from a to b, of which one leaves every `every_ns`."""
    loaded = load_scenario("demo", {"faults": list(faults)})
    bench = Bench("a", "b", seed=SEED)
    heard: list[int] = []

    async def job(bench: Bench) -> None:
        for name in ("a", "b"):
            endpoint = bench.node(name).endpoint
            StandingFaults(endpoint, bench.directory, Rng(SEED)).become(link_faults(loaded.faults))
        bench.port("b").on(Parcel, lambda message: heard.append(message.content.body["n"]))
        for number in range(num):
            await bench.clock.wait_until(number * every_ns)
            await bench.port("a").send("b", Parcel({"n": number}, charged=BYTES))
        await bench.clock.wait_until(num * every_ns + 3_600_000 * MS)

    bench.run(job)
    due_ns = [r.at_ns for r in bench.trace.records if isinstance(r, Delivered)]
    return list(zip(heard, due_ns, strict=True))


def late_ns(num: int, every_ns: int, *faults: dict[str, Any]) -> list[int]:
    """Of each message: how much later than without faults, which is worked out here."""
    return [
        at - number * every_ns - OWN_NS for number, at in sorted(arrived(num, every_ns, *faults))
    ]


def fresh(num: int, every_ns: int, rule: str = "fault-0") -> list[float]:
    """The numbers that chance has for these messages: of rule, sender, incarnation, id and time."""
    rng = Rng(SEED)
    return [rng.uniform(rule, "jitter", "a", 1, n + 1, n * every_ns) for n in range(num)]


def latency(**attributes: Any) -> dict[str, Any]:
    return {"type": "latency", "attributes": attributes}


def test_without_a_fault_it_is_the_path_alone() -> None:
    assert late_ns(20, 10_000) == [0] * 20


@pytest.mark.parametrize("milliseconds", [1, 5, 20])
def test_a_fixed_delay_is_exact_and_counts_from_the_send(milliseconds: int) -> None:
    """Messages sent one on the other's heels are each late by it, not by the one before's: latency
    takes nothing of bandwidth.
    """
    for every_ns in (BYTES, 10_000, 50 * MS):
        found = late_ns(50, every_ns, latency(latency=f"{milliseconds} ms"))
        assert found == [milliseconds * MS] * 50


def test_two_faults_add_up() -> None:
    assert late_ns(5, 10_000, latency(latency="1 ms"), latency(latency="30 us")) == [1_030_000] * 5


@pytest.mark.parametrize(
    ("attributes", "drawn", "expected"),
    [
        (
            {"distribution": "normal", "latency": "20 ms", "jitter": "2 ms"},
            (20 * MS, Normal(2 * MS)),
            stats.norm(20 * MS, 2 * MS),
        ),
        (
            {"distribution": "lognormal", "median": "5 ms", "sigma": 0.6},
            (0, LogNormal(5 * MS, 0.6)),
            stats.lognorm(0.6, scale=5 * MS),
        ),
        (
            {"distribution": "pareto", "latency": "1 ms", "scale": "1 ms", "alpha": 2.5},
            (MS, Pareto(MS, 2.5)),
            stats.pareto(2.5, loc=MS, scale=MS),
        ),
    ],
)
def test_observed_delays_are_the_draws_and_pass_kolmogorov_smirnov(
    attributes: dict[str, Any], drawn: tuple[int, Any], expected: Any
) -> None:
    num, every_ns = 10_000, 2 * MS
    observed = late_ns(num, every_ns, latency(**attributes))
    assert observed == [drawn_ns(*drawn, share) for share in fresh(num, every_ns)]
    assert stats.kstest(observed, expected.cdf).pvalue > 0.01


def test_jitter_remembers_the_one_before_on_its_link() -> None:
    num, every_ns = 4_000, 2 * MS
    fault = latency(distribution="normal", latency="20 ms", jitter="2 ms", correlation="80 %")
    observed = late_ns(num, every_ns, fault)
    correlated = Correlated(0.8)
    shares = [correlated.share(share) for share in fresh(num, every_ns)]
    assert observed == [drawn_ns(20 * MS, Normal(2 * MS), share) for share in shares]
    assert abs(np.corrcoef(observed[:-1], observed[1:])[0, 1] - 0.8) < 0.05


def test_a_recording_is_replayed_in_order_and_begins_again(tmp_path: Any) -> None:
    told = latency(distribution="replay", delays=["1 ms", "2 us", "0 ns"])
    assert late_ns(7, 10_000, told) == [MS, 2_000, 0, MS, 2_000, 0, MS]
    file = tmp_path / "delays.txt"
    file.write_text("# measured\n1 ms\n\n2 us # short\n0 ns\n", encoding="utf-8")
    read = latency(distribution="replay", path=str(file), latency="1 us")
    assert late_ns(4, 10_000, read) == [MS + 1_000, 3_000, 1_000, MS + 1_000]


def test_reordering_lets_those_behind_overtake_and_loses_none() -> None:
    """1,000 messages, 2 us apart, held back by up to 20 us: each by less than that, and no longer
    in order. By up to 1 us none overtakes another.
    """
    found = arrived(1_000, 2_000, {"type": "reorder", "attributes": {"delay": "20 us"}})
    order = [number for number, _ in found]
    assert sorted(order) == list(range(1_000)) and order != sorted(order)
    behind = max(number - place for place, number in enumerate(order))
    assert 3 <= behind <= 10, "nobody overtakes more than were sent in 20 us"
    little = arrived(1_000, 2_000, {"type": "reorder", "attributes": {"delay": "500 ns"}})
    assert [number for number, _ in little] == list(range(1_000))


def test_a_stall_holds_all_until_its_end_and_then_all_comes_in_order() -> None:
    """From 30 to 70 us: what was sent at 30, 40, 50 and 60 goes on at 70, together; the four share
    the receiver's link with what is sent then.
    """
    found = arrived(10, 10_000, {"type": "stall", "start": "30 us", "duration": "40 us"})
    assert [number for number, _ in found] == list(range(10))
    free = {n: n * 10_000 + OWN_NS for n in (0, 1, 2, 8, 9)}  # 7 is sent at its end
    assert {number: at for number, at in found if number in free} == free
    held = [at for number, at in found if 3 <= number <= 6]
    assert held[0] >= 70_000 + OWN_NS and held[-1] <= 70_000 + OWN_NS + 4 * BYTES


@pytest.mark.parametrize(
    ("direction", "hits"), [("to", "a"), ("from", "b"), ("both", "ab"), (None, "a")]
)
def test_a_direction_says_whose_messages_are_meant(direction: str | None, hits: str) -> None:
    fault = {"type": "drop", "source": "a", "destination": "b", "name": "cut"}
    if direction is not None:
        fault["direction"] = direction
    loaded = load_scenario("demo", {"faults": [{"type": "drop"}]})
    aimed = loaded.faults[0].model_copy(update=fault)
    bench = Bench("a", "b")
    for name in "ab":
        endpoint = bench.node(name).endpoint
        StandingFaults(endpoint, bench.directory, Rng(0)).become(link_faults((aimed,)))
        assert ("cut" in endpoint.rules) == (name in hits)
