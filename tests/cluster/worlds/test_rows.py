"""Speed modes whose rows and sums are rounded on their way: the same tokens in every world and on
every wire.
"""

from collections.abc import Mapping
from functools import cache

import pytest

from cluster.runs.run import Run, run_in_virtual, run_live
from cluster.workload.build import build_workload
from cluster.workload.driver import Driver
from cluster.worlds.blueprint import Blueprint
from cluster.worlds.virtual import VirtualWorld, run_virtual
from configs.schema import load_scenario
from tests.workers.wire.transport.wires import NEEDS_SHM
from workers.host.trace import Delivered
from workers.wire.kinds.experts import Dispatch

INT8 = {"model.dtype": "bf16", "model.quantization": "int8"}
MODES: Mapping[str, Mapping[str, object]] = {
    "bf16": {"model.dtype": "bf16"},
    "int8": INT8,
    "bf16, int8 rows": {"model.dtype": "bf16", "model.dispatch_dtype": "int8"},
    "int8, fp32 rows": {**INT8, "model.dispatch_dtype": "fp32"},
}
# Two prompts a step at most, prefill and decode apart, two shards: batches differ by world.
SMALL: Mapping[str, object] = {
    "cluster.nodes.decode.count": 1,
    "cluster.nodes.experts.count": 2,
    "placement.collections": None,
    "cluster.nodes.pnm": None,
    "model.num_kv_blocks": 256,
    "workload.arrivals.closed.concurrency": 4,
    "workload.arrivals.closed.num_requests": 8,
    "workload.prompts": {
        "synthetic": {"input_length": {"fixed": 12}, "output_length": {"fixed": 6}}
    },
    "workload.sampling.ignore_eos": True,
}
PROCESS: Mapping[str, object] = {"cluster.world": "process", "cluster.dilation": 200}
GRPC: Mapping[str, object] = {"cluster.world": "local", "cluster.dilation": 1000}
SHM: Mapping[str, object] = {**GRPC, "cluster.transport": "shm"}


def drawn(mode: str, changes: Mapping[str, object]) -> Blueprint:
    return Blueprint.draw(load_scenario("demo", {**SMALL, **MODES[mode], **changes}))


def tokens_of(run: Run) -> dict[str, list[int]]:
    assert not any(answer.error for answer in run.answers)
    assert not any(run.held.values())
    return {answer.request_id: answer.token_ids for answer in run.answers}


@cache
def in_virtual(mode: str) -> dict[str, list[int]]:
    plan = drawn(mode, {})
    workload = build_workload(plan.scenario, plan.model.vocab)
    return tokens_of(run_in_virtual(plan, workload, lambda _: None))


@pytest.mark.parametrize("mode", MODES)
def test_tokens_are_the_same_through_frames(mode: str) -> None:
    plan = drawn(mode, {})
    workload = build_workload(plan.scenario, plan.model.vocab)

    async def job(world: VirtualWorld) -> Run:
        answers = await Driver(world.gateway, world.client).run(workload)
        return Run(answers, await world.client.held_everywhere())

    assert tokens_of(run_virtual(plan, job, through_frames=True)) == in_virtual(mode)


@pytest.mark.live
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("mode", "world"),
    [
        ("bf16", PROCESS),
        ("int8", PROCESS),
        ("bf16", GRPC),
        ("int8", GRPC),
        pytest.param("int8", SHM, marks=NEEDS_SHM),
    ],
)
def test_tokens_are_the_same_in_every_world(mode: str, world: Mapping[str, object]) -> None:
    plan = drawn(mode, world)
    workload = build_workload(plan.scenario, plan.model.vocab)
    assert tokens_of(run_live(plan, workload, lambda _: None, lambda _: None)) == in_virtual(mode)


@pytest.mark.parametrize(
    ("mode", "row_bytes"),
    # perfuse-tiny: rows of 128 numbers, which share one scale of 4 bytes
    [("bf16", 256), ("int8", 132), ("bf16, int8 rows", 132), ("int8, fp32 rows", 512)],
)
def test_a_dispatch_is_charged_what_its_rows_are(mode: str, row_bytes: int) -> None:
    """One token, two experts: identity and route are 8 + 4 + 2 x 8 bytes."""
    plan = drawn(mode, {"workload.arrivals.closed.num_requests": 1})
    workload = build_workload(plan.scenario, plan.model.vocab)

    async def job(world: VirtualWorld) -> set[int]:
        world.trace.records.clear()
        await Driver(world.gateway, world.client).run(workload)
        return {
            record.num_bytes
            for record in world.trace.records
            if isinstance(record, Delivered) and record.kind == Dispatch.kind
        }

    charged = run_virtual(plan, job)
    assert 64 + 4 + 28 + row_bytes in charged
    assert all((num_bytes - 68) % (28 + row_bytes) == 0 for num_bytes in charged)
