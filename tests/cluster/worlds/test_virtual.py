"""The laws of DESIGN.md on whole clusters in virtual time, without faults and under them."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cluster.api.request import Request
from cluster.router.router import Router
from cluster.workload.build import build_workload
from cluster.workload.driver import Answer, Driver
from cluster.worlds.virtual import VirtualWorld, WorkerFailed
from tests.cluster.worlds.cluster import (
    Heard,
    ask,
    ask_all,
    blueprint,
    leftovers,
    prompt,
    request,
    run,
    settle,
    with_cards,
    workers_of,
)
from workers.host.rng import Rng
from workers.model.reference import Reference

DROP = {"type": "drop", "toxicity": 0.05}
TWICE = {"type": "duplicate", "toxicity": 0.05, "attributes": {"delay": "3 us"}}
LATE = {"type": "latency", "toxicity": 0.3, "attributes": {"latency": "20 us", "jitter": "20 us"}}
FLIP = {"type": "corrupt", "toxicity": 0.02}
ALL = [DROP, TWICE, LATE, FLIP]


def mixed(count: int) -> list[Request]:
    """Greedy and sampled, long and short, some that share a prefix."""
    return [
        request(
            f"r{i}",
            prompt_ids=prompt(0, 32) + prompt(i, 8 + 7 * i) if i % 3 else prompt(i, 20 + 5 * i),
            max_tokens=4 + 3 * (i % 4),
            temperature=0.9 if i % 2 else 0.0,
            top_p=0.95,
            seed=i,
        )
        for i in range(count)
    ]


def tokens_of(heard: list[Heard]) -> list[list[int]]:
    return [one.tokens for one in heard]


def result(
    changes: dict[str, Any] | None = None, *, seed: int = 0, count: int = 10, **how: bool
) -> tuple[list[Heard], str]:
    """What a mixed workload got, and the trace hash; asserts that all is let go in the end."""

    async def job(world: VirtualWorld) -> tuple[list[Heard], str]:
        heard = await ask_all(world, mixed(count), apart_ns=15_000)
        await settle(world)
        assert not any((await world.client.held_everywhere()).values())
        return heard, world.trace.digest()

    return run(blueprint(changes, seed=seed), job, **how)


@pytest.fixture(scope="module")
def expected() -> list[list[int]]:
    """What one process computes for the same requests, without any cluster."""
    reference, rng = Reference(blueprint().folder), Rng(0)

    def alone(one: Request) -> list[int]:
        seed = one.sampling.seed
        result = reference.generate(
            one.prompt_ids, one.sampling, uniform=lambda i: rng.uniform("sample", seed, i)
        )
        return list(result.token_ids)

    return [alone(one) for one in mixed(10)]


def test_a_cluster_computes_what_one_process_does(expected: list[list[int]]) -> None:
    heard, _ = result()
    assert [one.code for one in heard] == [""] * 10
    assert tokens_of(heard) == expected


@pytest.mark.parametrize(
    "changes",
    [
        {"cluster.nodes.experts.count": 1},
        {"cluster.nodes.experts.count": 5},
        {"cluster.nodes.prefill.count": 3, "cluster.nodes.decode.count": 1},
        {"placement.kv_pool": False, "model.enable_prefix_caching": False},
        {"model.max_num_batched_tokens": 16, "model.max_num_seqs": 4},
        {"model.block_size": 8},
    ],
    ids=[
        "one shard",
        "five shards",
        "3 prefill, 1 decode",
        "no cache",
        "small steps",
        "blocks of 8",
    ],
)
def test_tokens_do_not_depend_on_the_cluster_s_shape(
    changes: dict[str, Any], expected: list[list[int]]
) -> None:
    """Also sampled ones: their chance is keyed by seed and position."""
    assert tokens_of(result(changes)[0]) == expected


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_faults_cost_time_and_not_one_token(seed: int, expected: list[list[int]]) -> None:
    """5 % dropped, 5 % doubled, a third late enough to be overtaken, 2 % corrupt, on all links."""
    calm, _ = result(seed=seed)
    heard, _ = result({"faults": ALL}, seed=seed)
    assert [one.code for one in heard] == [""] * 10
    # Chance follows the cluster's seed, so sampled tokens are compared within one seed.
    assert tokens_of(heard) == tokens_of(calm)
    greedy = [i for i in range(10) if not i % 2]
    assert [heard[i].tokens for i in greedy] == [expected[i] for i in greedy]
    assert sum(one.ended_ns for one in heard) > sum(one.ended_ns for one in calm)


@pytest.mark.parametrize(
    "faults",
    [
        [{"type": "drop", "toxicity": 0.15}],
        [{"type": "corrupt", "toxicity": 0.12}],
        [{"type": "duplicate", "attributes": {"delay": "100 us"}}],
        [{"type": "latency", "attributes": {"latency": "60 us", "jitter": "60 us"}}],
        [{"type": "drop", "kind": "tokens", "toxicity": 0.7}],
        [{"type": "drop", "kind": "outputs", "toxicity": 0.7}],
        [{"type": "drop", "kind": "reply", "source": "gateway", "toxicity": 0.7}],
        [{"type": "drop", "kind": "start", "toxicity": 0.7}],
        [{"type": "drop", "kind": "abort", "toxicity": 0.7}],
        [{"type": "partition", "source": "decode-0", "destination": "router",
          "start": "100 us", "duration": "50 ms"}],
        [{"type": "partition", "start": "150 us", "duration": "100 ms"}],
        [{"type": "bandwidth", "attributes": {"rate": "0.2 GB/s"}}],
    ],
    ids=lambda faults: "-".join(str(faults[0].get(k, "")) for k in ("type", "kind", "source")),
)  # fmt: skip
def test_each_kind_of_trouble_alone(faults: list[dict], expected: list[list[int]]) -> None:
    """What finishes is exact, what does not ends with a clear error, all is let go."""
    heard, _ = result({"faults": faults})
    for one, tokens in zip(heard, expected, strict=True):
        assert one.code in ("", "deadline_exceeded")
        assert one.tokens == (tokens[: len(one.tokens)] if one.code else tokens), one
    assert sum(not one.code for one in heard) >= 5


def test_a_partition_that_never_heals_ends_every_request_by_its_deadline() -> None:
    async def job(world: VirtualWorld) -> None:
        heard = await ask_all(world, mixed(6))
        limit_ns = world.blueprint.deadline_ns
        assert {one.code for one in heard} <= {"", "deadline_exceeded"}
        assert any(one.code for one in heard)
        assert all(one.ended_ns <= limit_ns + 10_000_000 for one in heard)
        await world.clock.wait_until(world.clock.now() + 1_000_000)
        # The router has let go of all but the aborts that it keeps trying to bring to that chip.
        (router,) = workers_of(world, Router).values()
        assert router.state.is_idle and not any(router.held().values()), leftovers(world)

    cut = {"type": "partition", "source": "decode-0", "destination": "router", "start": "120 us"}
    run(blueprint({"faults": [cut], "placement.kv_pool": False}), job)


def test_cancels_under_faults_leave_nothing() -> None:
    async def job(world: VirtualWorld) -> None:
        for number in range(40):
            heard = Heard()
            wanted = request(f"cut{number}", prompt_ids=prompt(number), max_tokens=6)
            task = world.gateway.spawn(ask(world, wanted, heard), f"cut{number}")
            await world.clock.wait_until(world.clock.now() + 11_000 * number)
            task.cancel()
        await settle(world)

    run(blueprint({"faults": ALL}), job)


# -- same ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("faults", [[], ALL], ids=["calm", "faults"])
def test_the_same_seed_gives_the_same_trace_and_another_seed_another(faults: list[dict]) -> None:
    changes = {"faults": faults}
    heard, digest = result(changes, seed=5, count=6)
    again, digest_again = result(changes, seed=5, count=6)
    assert digest == digest_again and tokens_of(heard) == tokens_of(again)
    assert [one.ended_ns for one in heard] == [one.ended_ns for one in again]
    _, other = result(changes, seed=6, count=6)
    assert other != digest


OTHER_PROCESS = """
from tests.cluster.worlds.test_virtual import ALL, result
print(result({"faults": ALL}, seed=5, count=3)[1])
"""


def test_another_process_sees_the_same_trace() -> None:
    """Nothing may depend on hashing, addresses or what ran before."""
    environment = {**os.environ, "PYTHONHASHSEED": "4242"}
    other = subprocess.run(
        [sys.executable, "-c", OTHER_PROCESS],
        cwd=Path(__file__).parents[3],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert other.stdout.split()[-1] == result({"faults": ALL}, seed=5, count=3)[1]


@pytest.mark.parametrize("faults", [[], ALL], ids=["calm", "faults"])
def test_through_frames_everything_is_the_same(faults: list[dict]) -> None:
    """Encoded and decoded as on a real wire: the same tokens at the same times."""
    plain, _ = result({"faults": faults}, count=6)
    framed, _ = result({"faults": faults}, count=6, through_frames=True)
    assert tokens_of(plain) == tokens_of(framed)
    assert [one.ended_ns for one in plain] == [one.ended_ns for one in framed]


# -- the demo's workload ---------------------------------------------------------------------------


def driven(changes: dict[str, Any]) -> list[Answer]:
    plan = with_cards({"workload.arrivals.closed.num_requests": 16, **changes})
    workload = build_workload(plan.scenario, plan.model.vocab)

    async def job(world: VirtualWorld) -> list[Answer]:
        answers = await Driver(world.gateway, world.client).run(workload)
        await settle(world)
        return answers

    return run(plan, job)


def test_questions_are_answered_and_faults_change_no_answer() -> None:
    calm, rough = driven({}), driven({"faults": ALL})
    assert [a.error for a in calm] == [a.error for a in rough] == [None] * 16
    assert [a.text for a in calm] == [a.text for a in rough]
    assert [a.passages for a in calm] == [a.passages for a in rough]
    assert sum(a.is_exact for a in calm) >= 10
    for answer in calm:
        assert answer.ttft_ns is not None and 0 < answer.ttft_ns <= answer.e2e_ns
        phases = ("retrieval", "queue", "prefill", "kv_transfer", "attention", "expert_wait")
        assert all(answer.times_ns[phase] >= 0 for phase in phases)


# -- the world itself ------------------------------------------------------------------------------


def test_a_worker_s_bug_fails_the_run() -> None:
    async def job(world: VirtualWorld) -> None:
        async def bug() -> None:
            raise ZeroDivisionError("oops")

        world.nodes["decode-0"].spawn(bug(), "bug")
        await world.clock.wait_until(world.clock.now() + 10)

    with pytest.raises(WorkerFailed, match="decode-0/bug: ZeroDivisionError: oops"):
        run(blueprint(), job)


def test_an_idle_cluster_lets_time_pass_for_nothing() -> None:
    async def job(world: VirtualWorld) -> int:
        before = world.trace.num_records
        await world.clock.wait_until(world.clock.now() + 3_600 * 10**9)
        return world.trace.num_records - before

    assert run(blueprint(), job) == 0


def test_sampling_parameters_reach_the_chip() -> None:
    async def job(world: VirtualWorld) -> None:
        base = {"prompt_ids": prompt(2), "max_tokens": 12, "temperature": 1.0}
        one = await ask(world, request("one", **base, seed=1))
        same = await ask(world, request("same", **base, seed=1))
        other = await ask(world, request("other", **base, seed=2))
        greedy = await ask(world, request("greedy", **base | {"temperature": 0.0}, logprobs=2))
        top = await ask(world, request("top", **base, top_k=1, seed=9))
        assert one.tokens == same.tokens != other.tokens
        assert top.tokens == greedy.tokens
        for output in greedy.outputs:
            (logprob,) = output.logprobs
            assert logprob.token_id == output.token_ids[0] == logprob.top[0][0]
            assert 0 >= logprob.top[0][2] >= logprob.top[1][2]
        await settle(world)

    run(blueprint(), job)
