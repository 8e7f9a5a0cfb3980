"""Counts in whole clusters: messages, bytes and times are those of digests wherever tokens visit
the same experts.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from cluster.worlds.virtual import VirtualWorld
from configs.schema import ScenarioError, load_scenario
from tests.cluster.worlds.chips_of_ranks import degrees
from tests.cluster.worlds.cluster import Heard, ask_all, blueprint, prompt, request, run, settle
from workers.host.trace import Delivered, Sampled
from workers.model.digest.recorded import write_routing

# Of answers of 5 to 12 tokens, one of a prompt of five chunks.
REQUESTS = [
    request(f"r{i}", prompt_ids=prompt(i, length), max_tokens=count)
    for i, length, count in [(0, 40, 9), (1, 3, 5), (2, 70, 12), (3, 17, 6), (4, 300, 7)]
]
CASES: Mapping[str, Mapping[str, object]] = {
    "pool": {},
    "chunks": {
        "model.max_num_batched_tokens": 64,
        "model.max_num_seqs": 64,
        "model.block_size": 32,
    },
    "blocks": {f"cluster.nodes.{group}.kv.block_size": 32 for group in ("prefill", "decode")},
    "micro-batches": {"model.micro_batches": 2},
    "near": {"placement.kv_pool": False, "placement.kv_near": {"keep": 1}},
    "near-shipped": {"placement.kv_pool": False, "placement.kv_near": {"keep": 1, "mode": "ship"}},
    "shipped": {"placement.experts.mode": "ship"},
    "ranks": degrees(prefill=(2, 1), decode=(2, 2)),
}


@pytest.fixture
def replay(tmp_path: Path) -> str:
    """All tokens visit these experts: whatever they are, the draw is the same."""
    model = blueprint().model
    sparse = model.num_layers - model.dense_layers
    table = np.arange(sparse * model.top_k).reshape(1, sparse, model.top_k) % model.num_experts
    write_routing(tmp_path / "routing.bin", model.num_experts, table.astype(np.int32))
    return str(tmp_path / "routing.bin")


def served(changes: Mapping[str, object]) -> tuple[list[tuple[object, ...]], list[int]]:
    """Every message and every token, without what they say; and the length of each answer. What the
    gateway hears is charged by its letters, which differ.
    """

    async def job(world: VirtualWorld) -> list[Heard]:
        heard = await ask_all(world, REQUESTS)
        await settle(world)
        found.extend(
            (r.at_ns, r.kind, r.source, r.destination, r.num_bytes)
            if isinstance(r, Delivered)
            else (r.at_ns, r.chip, r.request_id, r.position)
            for r in world.trace.records
            if isinstance(r, Sampled)
            or (isinstance(r, Delivered) and "gateway" not in (r.source, r.destination))
        )
        return heard

    found: list[tuple[object, ...]] = []
    heard = run(blueprint(changes), job)
    assert not any(one.code for one in heard)
    return found, [len(one.tokens) for one in heard]


@pytest.mark.parametrize("case", CASES)
def test_messages_and_times_are_those_of_digests(case: str, replay: str) -> None:
    changes = {**CASES[case], "model.routing": {"replay": replay}}
    digests = served({**changes, "model.numerics": "digest"})
    assert served({**changes, "model.numerics": "counts"}) == digests
    assert digests[1] == [9, 5, 12, 6, 7]


def test_what_hangs_on_values_is_refused_and_nothing_else() -> None:
    wanted = [
        request("a", logprobs=2),
        request("b", stop=("x",)),
        request("c", temperature=0.9, max_tokens=4),
    ]
    heard = run(blueprint({"model.numerics": "counts"}), lambda world: ask_all(world, wanted))
    assert [one.code for one in heard] == ["invalid_request_error", "invalid_request_error", ""]
    assert "placeholders" in str(heard[0].error) and len(heard[2].tokens) == 4


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"workload.sampling.logprobs": 1}, "workload.sampling.logprobs: is given"),
        ({"workload.sampling.stop": ["x"]}, "workload.sampling.stop: is given"),
        ({"placement.experts_prefetch": True}, "model.numerics 'counts': what is read ahead"),
    ],
)
def test_a_scenario_that_hangs_on_values_is_refused(changes, said: str) -> None:
    with pytest.raises(ScenarioError, match=said):
        blueprint({"model.numerics": "counts", **changes})


def test_the_trace_s_scenario_stands_without_its_trace() -> None:
    scenario = load_scenario("mooncake")
    assert scenario.model.numerics == "counts"
