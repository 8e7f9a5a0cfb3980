"""Clusters with further copies of experts: the same tokens, whoever is asked."""

import pytest

from cluster.reports.experts import expert_figures, expert_lines
from cluster.worlds.virtual import VirtualWorld
from configs.plan import make_plan
from configs.schema import load_scenario
from tests.cluster.worlds.cluster import Heard, ask_all, blueprint, prompt, request, run, settle
from tests.configs.test_plan import TINY

EPLB = {"strategy": "eplb", "slots": 13, "loads": [9, 1, 1, 1, 5, 1, 1, 3]}
CASES: dict[str, dict[str, object]] = {
    "by hand": {"placement.experts.replicas": {0: 1, 5: 1}},
    "eplb": {"placement.experts.replicas": EPLB},
    "shares by loads": {"placement.experts.replicas": {**EPLB, "shares": "loads"}},
    "shipped": {"placement.experts.replicas": EPLB, "placement.experts.mode": "ship"},
    "in bf16": {"placement.experts.replicas": EPLB, "model.dtype": "bf16"},
    "beside attention": {
        "placement.experts.replicas": EPLB,
        "cluster.nodes.decode.workers": ["decode", "experts"],
    },
}


def asked(changes: dict[str, object]) -> list[Heard]:
    async def job(world: VirtualWorld) -> list[Heard]:
        wanted = [request(f"r{i}", prompt_ids=prompt(i, 20 + 13 * i)) for i in range(5)]
        heard = await ask_all(world, wanted, apart_ns=20_000)
        await settle(world)
        return heard

    return run(blueprint(changes), job)


@pytest.mark.parametrize("case", CASES)
def test_tokens_are_those_without_copies(case: str) -> None:
    changes = CASES[case]
    without = {key: value for key, value in changes.items() if not key.endswith("replicas")}
    told = asked(changes)
    assert [heard.code for heard in told] == [""] * 5
    assert [heard.tokens for heard in told] == [heard.tokens for heard in asked(without)]


def test_a_run_says_who_computed_how_much() -> None:
    """Four shards of two experts, and a copy of expert 0 beside experts 2 and 3."""
    made = make_plan(load_scenario("demo", {"placement.experts.replicas": {0: 1}}), TINY)
    counts = {"expert_tokens_experts-0/0": 30, "expert_tokens_experts-1/0": 20, "preemptions": 9}
    assert expert_figures(made, {"preemptions": 9}) == {} and expert_lines(made, {}) == []
    told = expert_figures(made, counts)
    assert told["tokens"] == {0: 50} | dict.fromkeys(range(1, 8), 0)
    assert told["shards"] == {"experts-0": 30, "experts-1": 20, "experts-2": 0, "experts-3": 0}
    assert told["imbalance"] == 30 * 4 / 50
    assert expert_lines(made, counts) == [
        "experts: 50 tokens on 4 shards, from 0 (experts-2) to 30 (experts-0): max/mean 2.40, 1 "
        "copies beside the first"
    ]
