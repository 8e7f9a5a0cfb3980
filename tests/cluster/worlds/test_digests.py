"""Digest models in whole clusters: the reference's tokens wherever things lie, and charges of the
real model.
"""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from benchmarks.network._digest_clusters import drawn
from benchmarks.network.digests import differences, wanted
from cluster.runs.routing import RoutingRecorder
from cluster.runs.run import run_in_virtual, run_live
from cluster.workload.build import build_workload
from cluster.worlds.blueprint import Blueprint
from cluster.worlds.virtual import VirtualWorld
from configs.checkpoint_files import CheckpointError
from configs.presets import ROOT
from configs.schema import ScenarioError, load_scenario
from tests.cluster.worlds.cluster import Heard, ask_all, blueprint, prompt, request, run
from workers.host.trace import Delivered
from workers.model.digest.recorded import read_routing, write_routing

DIGEST = {"model.numerics": "digest"}
LIVE: Mapping[str, object] = {
    **DIGEST,
    "placement.collections": None,
    "cluster.nodes.pnm": None,
    "cluster.nodes.experts.count": 2,
    "model.num_kv_blocks": 256,
    "workload.arrivals.closed.num_requests": 8,
    "workload.prompts": {
        "synthetic": {"input_length": {"fixed": 40}, "output_length": {"fixed": 6}}
    },
}


@pytest.mark.parametrize("number", [0, 1, 4, 7])
def test_random_clusters_give_the_reference_tokens(number: int, tmp_path: Path) -> None:
    """Four of the 200 of `make bench-network`."""
    differ, total, found = differences(drawn(number, tmp_path), tmp_path)
    assert total > 0 and differ == 0
    assert found["dispatch"] + found["weights"] > 0


def in_world(changes: Mapping[str, object]) -> None:
    plan = Blueprint.draw(load_scenario("demo", {**LIVE, **changes}))
    workload = build_workload(plan.scenario, plan.model.vocab)
    run = run_live(plan, workload, lambda _: None, lambda _: None)
    assert not any(run.held.values())
    right = wanted(plan, workload)
    assert {answer.request_id: list(answer.tokens) for answer in run.answers} == right


@pytest.mark.live
@pytest.mark.timeout(300)
def test_the_process_world_gives_the_reference_tokens() -> None:
    in_world({"cluster.world": "process", "cluster.dilation": 200})


@pytest.mark.live
@pytest.mark.timeout(300)
def test_without_emulation_tokens_are_the_same() -> None:
    in_world({"cluster.world": "process", "cluster.emulation": False})


@pytest.mark.live
@pytest.mark.timeout(300)
@pytest.mark.parametrize("transport", ["grpc", "auto"])
def test_the_local_world_gives_the_reference_tokens(transport: str) -> None:
    changes = {"cluster.world": "local", "cluster.dilation": 1000, "cluster.transport": transport}
    in_world(changes)


def test_questions_are_answered_in_text() -> None:
    """Where the model's folder has a tokenizer, text goes in and comes out."""
    plan = blueprint(DIGEST)

    async def job(world: VirtualWorld) -> list[Heard]:
        return await ask_all(world, [request("r", prompt="Who is there?", max_tokens=12)])

    (heard,) = run(plan, job)
    assert len(heard.tokens) == 12 and heard.text


REQUESTS = [request(f"r{i}", prompt_ids=prompt(i, 70), max_tokens=30) for i in range(3)]


def charged(changes: Mapping[str, object]) -> dict[str, Counter[int]]:
    """Of each kind, the bytes of its messages."""

    async def job(world: VirtualWorld) -> dict[str, Counter[int]]:
        heard = await ask_all(world, REQUESTS)
        assert all(len(one.tokens) == 30 for one in heard)
        found: dict[str, Counter[int]] = {}
        for record in world.trace.records:
            if isinstance(record, Delivered):
                found.setdefault(record.kind, Counter())[record.num_bytes] += 1
        return found

    return run(blueprint(changes), job)


@pytest.mark.parametrize("mode", ["near", "ship"])
@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_links_are_charged_what_the_real_model_sends(dtype: str, mode: str) -> None:
    """But for dispatches and their answers, as other experts are chosen, and for what says how far
    a stream is, which hangs on the time they take.
    """
    changes = {"placement.kv_near": {"keep": 1, "mode": mode}, "placement.kv_pool": True}
    changes |= {"model.dtype": dtype}
    real, digest = charged(changes), charged({**changes, **DIGEST})
    asked = {"near": "near_attend", "ship": "near_fetch"}[mode]
    assert {"kv_blocks", "pool_put", "near_put", asked} <= set(real)
    for kind in set(real) - {"dispatch", "combine", "tokens", "outputs", "reply"}:
        assert digest[kind] == real[kind], kind


def test_experts_are_charged_as_they_are_shipped(tmp_path: Path) -> None:
    """With the choices of the real run, message by message."""
    plan = blueprint()
    recorder = RoutingRecorder(plan.model)
    workload = build_workload(plan.scenario, plan.model.vocab)
    run_in_virtual(plan, workload, lambda _: None, recorder.take)
    path = tmp_path / "routing"
    write_routing(path, recorder.num_experts, recorder.table())
    assert len(read_routing(path).table) == sum(
        a.num_prompt_tokens + len(a.tokens) - 1
        for a in run_in_virtual(plan, workload, lambda _: None).answers
    ), "every token but the last of each answer, once"
    changes = {**DIGEST, "model.routing": {"replay": str(path)}, "model.dtype": "bf16"}
    sums = set(charged(changes)["combine"])
    assert {(size - 64) % (2 * plan.model.hidden) for size in sums} == {0}


def test_rows_alone_are_charged_where_metadata_is_free() -> None:
    """One byte for each of a row's numbers, two for those of a sum; what has no tensor is free."""
    changes = {**DIGEST, "model.dtype": "bf16", "model.dispatch_dtype": "int8"}
    found = charged({**changes, "model.message_metadata": "free"})
    hidden = blueprint().model.hidden
    assert {size % hidden for size in found["dispatch"]} == {0}
    assert {size % (2 * hidden) for size in found["combine"]} == {0}
    assert set(found["tokens"]) == set(found["submit"]) == {0}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            {"placement.experts_prefetch": True},
            "placement.experts_prefetch: is true, and model.numerics 'digest'",
        ),
        (
            {"model.routing": "balanced", "placement.experts.mode": "ship"},
            "model.routing: is 'balanced', and placement.experts.mode 'ship'",
        ),
        (
            {
                "placement.kv_pool": True,
                "cluster.nodes.hbf.tiers": {"pool": "hbf"},
                "cluster.nodes.hbf.device.tiers.hbf.file": {"capacity": "64 MiB"},
            },
            "device.tiers.hbf.file: is given, and model.numerics is 'digest'",
        ),
        (
            {"model.routing": "even"},
            "it must be uniform or balanced, or a mapping with one of zipf",
        ),
        ({"model.routing": {"zipf": 1, "lognormal": 1}}, "it must hold exactly one of"),
        ({"model.routing": {"bursty": {"stretch": 0}}}, "model.routing.bursty.stretch"),
        (
            {"model.numerics": "real", "model.routing": {"zipf": 1.0}},
            "routing is given and numerics 'real'",
        ),
        (
            {"model.numerics": "real", "model.message_metadata": "free"},
            "message_metadata is given and numerics 'real'",
        ),
    ],
)
def test_what_digests_cannot_do_is_refused(changes: Mapping[str, object], told: str) -> None:
    with pytest.raises(ScenarioError, match=told.replace(".", r"\.")):
        blueprint({**DIGEST, **changes})


def test_a_recorded_run_of_another_model_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "routing"
    write_routing(path, 256, np.arange(8, dtype=np.int32).reshape(1, 1, 8))
    with pytest.raises(CheckpointError, match="recorded of a model with 256 experts"):
        blueprint({**DIGEST, "model.routing": {"replay": str(path)}})


def test_no_weights_are_needed() -> None:
    """Of DeepSeek-V3 there is a description alone."""
    plan = Blueprint.draw(load_scenario("deepseek-ep32"))
    assert plan.model.num_layers == 61 and len(plan.plan.experts) == 256
    with pytest.raises(CheckpointError):
        Blueprint.draw(load_scenario("deepseek-ep32", {"model.numerics": "real"}))


def test_published_descriptions_run() -> None:
    """One layer of each kind of DeepSeek-V3 with all of its 256 experts."""
    path = str(ROOT / "scenarios" / "models" / "deepseek-v3.json")
    changes = {
        **DIGEST, "model.path": path, "model.dtype": "bf16", "model.max_model_len": 256,
        "cluster.nodes.experts": {
            "workers": ["experts"], "count": 16, "device": "b200-sxm", "link": "nvlink5",
        },
    }  # fmt: skip
    plan = blueprint(changes)

    async def job(world: VirtualWorld) -> list[Heard]:
        return await ask_all(world, [request("r", model="deepseek-v3.json", max_tokens=2)])

    (heard,) = run(plan, job)
    assert heard.error is None and len(heard.tokens) == 2
