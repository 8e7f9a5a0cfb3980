"""What a path adds to a request is what messages that need each other pay for it, and no more."""

from collections.abc import Mapping
from statistics import mean
from typing import Any

import pytest

from benchmarks.laws._checks import held
from benchmarks.laws._sent import Sent, run_watched
from cluster.runs.run import run_in_virtual
from cluster.workload.build import build_workload
from cluster.workload.driver import Answer, Driver
from cluster.worlds.blueprint import Blueprint
from cluster.worlds.virtual import VirtualWorld, run_virtual
from configs.schema import load_scenario
from tests.golden.scenarios import PLAIN, SCENARIOS, closed
from workers.wire.kind import Reply

US_NS = 1_000
SYNTHETIC = "workload.prompts"


def run(base: str, *changes: Mapping[str, Any]) -> tuple[list[Answer], Sent]:
    overrides = {key: value for change in changes for key, value in change.items()}
    done, sent = run_watched(load_scenario(base, overrides))
    assert not any(done.held.values()), done.held
    assert all(answer.error is None for answer in done.answers)
    return done.answers, sent


def ttft_of(answer: Answer) -> int:
    assert answer.ttft_ns is not None
    return answer.ttft_ns


def of_lengths(prompt: int, outputs: int) -> Mapping[str, Any]:
    lengths = {"input_length": {"fixed": prompt}, "output_length": {"fixed": outputs}}
    return {SYNTHETIC: {"synthetic": lengths}}


def latency(node: str, value: str) -> Mapping[str, Any]:
    return {f"cluster.nodes.{node}.link.latency": value}


@pytest.mark.parametrize("latency_us", [100, 1_000, 10_000])
def test_steps_that_cross_no_link_keep_their_pace_whatever_the_link(latency_us: int) -> None:
    """`single`, one user: a request crosses the chip's link once each way, 2 us as shipped. So its
    TTFT grows by twice the difference, to the nanosecond, and its TPOT stays.
    """
    near, _ = run("single", closed(4, concurrency=1))
    far, sent = run("single", closed(4, concurrency=1), latency("chip", f"{latency_us} us"))
    more_ns = 2 * (latency_us - 2) * US_NS
    assert [ttft_of(a) - ttft_of(b) for a, b in zip(far, near, strict=True)] == [more_ns] * 4
    assert [a.tpot_ns for a in far] == [a.tpot_ns for a in near]
    assert sent.twice() == {}


def test_four_users_far_away_have_the_same_tpot_and_one_path_more_of_ttft() -> None:
    """30.0 us and 61.5 + 2 x 98 us at most: who comes when the chip is idle need not wait for the
    end of a step, which is 31 us less.
    """
    answers, _ = run("single", latency("chip", "100 us"))
    assert all(a.tpot_ns == pytest.approx(30_000, rel=0.02) for a in answers)
    ttft_ns = sorted(map(ttft_of, answers))[10]
    assert (61_500 - 31_000 + 2 * 98_000) <= ttft_ns <= 258_000


def test_a_gateway_far_away_costs_its_path_there_and_back_and_no_token_more() -> None:
    """`demo`, one user, gateway at 1 ms instead of 2 us: TTFT 2 x 998 us more, TPOT the same."""
    near, _ = run("demo", PLAIN, closed(4, concurrency=1))
    far, sent = run("demo", PLAIN, closed(4, concurrency=1), latency("gateway", "1 ms"))
    more_ns = 2 * 998 * US_NS
    assert [ttft_of(a) - ttft_of(b) for a, b in zip(far, near, strict=True)] == [more_ns] * 4
    assert [a.tpot_ns for a in far] == [a.tpot_ns for a in near]
    assert sent.twice() == {}


def test_chunks_of_kv_do_not_wait_for_each_other() -> None:
    """Eight chunks over 1 ms: from the last one's computing to decode it takes blocks,
    acknowledgement and start, one way each, and not three ways a chunk.
    """
    chunked = {
        "model.max_num_batched_tokens": 16,
        "model.max_num_seqs": 4,
        "placement.kv_pool": False,
    }
    answers, sent = run(
        "demo",
        PLAIN,
        closed(2, concurrency=1),
        chunked,
        of_lengths(128, 3),
        latency("decode", "1 ms"),
    )
    assert sent.kinds["kv_blocks"] == 2 * 8
    for answer in answers:
        assert answer.times_ns["kv_transfer"] == pytest.approx(3_000 * US_NS, rel=0.01)


def test_a_prompt_is_charged_its_bytes_whatever_came_before() -> None:
    """The demo cluster over 12.5 GB/s and 10 us: a prompt of 16 tokens, then one of 900, alone as
    after the other. KV of 900 tokens: 57 blocks of 16 x 4,096 bytes, 3.74 MB, are 299 us; three
    latencies are 30 us, launches that read and write it 6 us, its bytes there 2 us: 338.
    """
    both = [
        run(
            "demo",
            PLAIN,
            closed(1),
            {"model.max_num_batched_tokens": 1_024, "placement.kv_pool": False},
            {f"cluster.nodes.{name}.link": "ethernet-100g" for name in ("prefill", "decode")},
            {"workload.prompts": {"synthetic": lengths}},
            {"workload.arrivals": {"closed": {"concurrency": 1, "num_requests": count}}},
        )
        for count, lengths in (
            (1, {"input_length": {"fixed": 900}, "output_length": {"fixed": 4}}),
            (
                8,
                {
                    "input_length": {"uniform": {"low": 16, "high": 900}},
                    "output_length": {"fixed": 4},
                },
            ),
        )
    ]
    (alone, _), (several, sent) = both
    assert alone[0].times_ns["kv_transfer"] == pytest.approx(338 * US_NS, rel=0.01)
    for answer in several:
        num_blocks = -(-answer.num_prompt_tokens // 16)
        expected_ns = num_blocks * 16 * 4_096 / 12.5 + 36 * US_NS
        assert answer.times_ns["kv_transfer"] == pytest.approx(expected_ns, rel=0.02)
    assert sent.twice() == {}


def test_a_delay_of_dispatches_is_suffered_by_whoever_waits_for_them() -> None:
    """One shard, so a token waits for a dispatch in each of 4 layers. 30 % of them come 5 ms late:
    4 x 0.3 x 5 = 6 ms a token on average.
    """
    late = {
        "type": "latency",
        "kind": "dispatch",
        "toxicity": 0.3,
        "attributes": {"latency": "5 ms"},
    }
    answers, sent = run(
        "demo",
        PLAIN,
        closed(12, concurrency=1),
        of_lengths(16, 9),
        {"cluster.nodes.experts.count": 1, "placement.kv_pool": False, "slo.deadline": "10 s"},
        {"faults": [late]},
    )
    assert mean(a.tpot_ns or 0 for a in answers) == pytest.approx(6_000 * US_NS, rel=0.15)
    assert sent.twice() == {}


@pytest.mark.parametrize(
    "name", [n for n, (_, changes) in SCENARIOS.items() if "faults" not in changes]
)
def test_without_a_fault_no_message_is_sent_twice(name: str) -> None:
    base, changes = SCENARIOS[name]
    _, sent = run_watched(load_scenario(base, dict(changes)))
    assert sent.times and sent.twice() == {}, f"of {sum(sent.times.values())}"


@pytest.mark.parametrize(
    ("concurrency", "bandwidth"), [(1, "1 GB/s"), (64, "1 GB/s"), (256, "450 GB/s")]
)
def test_nor_is_any_under_load(concurrency: int, bandwidth: str) -> None:
    links = {
        f"cluster.nodes.{name}.link": {"name": "x", "latency": "10 us", "bandwidth": bandwidth}
        for name in ("prefill", "decode", "experts", "router", "gateway")
    }
    run_, sent = run_watched(load_scenario("demo", {**PLAIN, **closed(64, concurrency), **links}))
    assert len(run_.answers) == 64 and sent.kinds[Reply.kind] > 100
    assert sent.twice() == {}


def test_a_path_longer_than_a_share_of_the_deadline_is_no_loss() -> None:
    """`single`, one user, 14 ms to the chip, deadline 100 ms: a call takes 28 ms, more than a
    quarter of the deadline. TTFT is that of 2 us and 2 x 13,998 us more.
    """
    near, _ = run("single", closed(2, concurrency=1))
    slo = {"slo.deadline": "100 ms"}
    far, sent = run("single", closed(2, concurrency=1), latency("chip", "14 ms"), slo)
    assert [ttft_of(a) - ttft_of(b) for a, b in zip(far, near, strict=True)] == [27_996_000] * 2
    assert sent.twice() == {}


def test_an_abort_over_a_path_longer_than_the_deadline_is_heard() -> None:
    """Nobody is answered in 5 ms over 10 ms. The chip's answer to an abort takes 20 ms, and then
    nothing is held: no call, no credit, no abort that is said again and again.
    """
    slo = {"slo.deadline": "5 ms"}
    scenario = load_scenario("single", {**closed(2), **latency("host", "10 ms"), **slo})
    blueprint = Blueprint.draw(scenario)
    workload = build_workload(scenario, blueprint.model.vocab)

    async def job(world: VirtualWorld) -> dict[str, int]:
        answers = await Driver(world.gateway, world.client).run(workload)
        assert all(answer.error is not None for answer in answers)
        await world.clock.wait_until(world.clock.now() + 50_000 * US_NS)
        return held(world, healed=True)

    assert run_virtual(blueprint, job) == {}


def test_kv_may_take_as_long_as_its_request() -> None:
    """KV of 900 tokens, 3,735,552 bytes, into a chip at 5 MB/s: 747.1 ms, of a deadline of 1 s."""
    answers, sent = run(
        "demo",
        PLAIN,
        closed(1),
        {"model.max_num_batched_tokens": 1_024, "placement.kv_pool": False},
        {"cluster.nodes.decode.link.bandwidth": "5 MB/s"},
        of_lengths(900, 4),
    )
    assert answers[0].times_ns["kv_transfer"] == pytest.approx(747_110 * US_NS, rel=0.001)
    assert sent.twice() == {}


def test_what_a_step_holds_at_its_deadline_is_no_leak() -> None:
    """16 prompts of 900 tokens over 100 MB/s: some end by their deadline of 1 s while a step waits
    for experts, which holds their 57 blocks each until it ends.
    """
    slow = {"cluster.nodes.prefill.link.bandwidth": "100 MB/s"}
    whole = {"model.max_num_batched_tokens": 1_024, "model.enable_prefix_caching": False}
    changes = {**PLAIN, **closed(16, concurrency=16), **whole, **slow, **of_lengths(900, 4)}
    blueprint = Blueprint.draw(load_scenario("demo", changes))
    workload = build_workload(blueprint.scenario, blueprint.model.vocab)
    done = run_in_virtual(blueprint, workload, lambda _: None)
    assert any(answer.error is not None for answer in done.answers)
    assert not any(done.held.values()), done.held
