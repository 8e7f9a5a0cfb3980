"""Eight requests in one step, one of which meets a NaN: only that one ends."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from benchmarks.rows import Row
from cluster.api.request import Request
from cluster.workload.build import TimedRequest, Workload
from cluster.workload.driver import Answer, Driver
from cluster.worlds.blueprint import Blueprint
from cluster.worlds.virtual import VirtualWorld, run_virtual
from configs.schema import load_scenario
from workers.model.reference import Reference
from workers.model.sampling_params import SamplingParams

NUM_REQUESTS, BAD, BAD_TOKEN, LENGTH = 8, 3, 500, 24
SAMPLING = SamplingParams(max_tokens=8, ignore_eos=True)
# One chip that prefills and decodes all of them together.
CHANGES: dict[str, object] = {
    "cluster.nodes.prefill": None,
    "cluster.nodes.decode": None,
    "cluster.nodes.chip": {"workers": ["chip"], "device": "h100-sxm", "link": "lowlat-2us"},
    "placement.collections": None,
    "workload.prompts.questions.retrieval": None,
    "placement.kv_pool": False,
    "model.num_kv_blocks": 128,
    "model.max_num_batched_tokens": 1024,
}


def rows() -> Iterator[Row]:
    blueprint = Blueprint.draw(load_scenario("demo", CHANGES))
    reference = Reference(blueprint.folder)
    prompts = [
        tuple(3 + (i * 7919 + at * at * 31 + at * 17) % 490 for at in range(LENGTH))
        for i in range(NUM_REQUESTS)
    ]
    expected = [list(reference.generate(ids, SAMPLING).token_ids) for ids in prompts]
    spoilt = list(prompts)
    spoilt[BAD] = (*prompts[BAD][:10], BAD_TOKEN, *prompts[BAD][11:])

    async def job(world: VirtualWorld) -> tuple[list[Answer], list[Answer]]:
        models = _models(world)
        for model in models:
            model._embedding._table_VH = model._embedding._table_VH.copy()
            model._embedding._table_VH[BAD_TOKEN] = np.nan
        driver = Driver(world.gateway, world.client)
        first = await driver.run(_workload("a", spoilt))
        for model in models:
            every = tuple(range(model.num_blocks))
            held = model.read_blocks(every)
            held[:] = 255 if held.dtype == np.uint8 else np.nan
            model.write_blocks(every, held)
        # Other prompts: those of before are cached, and their blocks have just gone bad.
        return first, await driver.run(_workload("b", [ids[::-1] for ids in prompts]))

    first, second = run_virtual(blueprint, job)
    others = [i for i in range(NUM_REQUESTS) if i != BAD]
    right = sum(first[i].token_ids == expected[i] for i in others)
    code = str((first[BAD].error or {}).get("code"))
    yield Row(
        "eight requests in one step, one with a NaN: exact answers of the others",
        *(right, "", "7 of 7", right == len(others) and code == "not_finite"),
        f"measured: the eighth ends with {code}",
    )
    again = [list(reference.generate(ids[::-1], SAMPLING).token_ids) for ids in prompts]
    right = sum(answer.token_ids == ids for answer, ids in zip(second, again, strict=True))
    yield Row(
        "then eight in blocks that all hold NaN: exact answers",
        *(right, "", "8 of 8", right == NUM_REQUESTS),
        "measured: against the single-process reference",
    )


def _workload(stem: str, prompts: list[tuple[int, ...]]) -> Workload:
    requests = tuple(
        TimedRequest(0, Request(f"{stem}{i}", "perfuse-tiny", SAMPLING, prompt_ids=ids))
        for i, ids in enumerate(prompts)
    )
    return Workload(requests, concurrency=NUM_REQUESTS)


def _models(world: VirtualWorld) -> list[Any]:
    """Of the chips, found by the handlers that they registered."""
    tables = [node.endpoint.incoming.handlers() for node in world.nodes.values()]
    workers: list[Any] = [getattr(h, "__self__", None) for t in tables for h in t.values()]
    return list({id(w): w._model for w in workers if hasattr(w, "_model")}.values())
