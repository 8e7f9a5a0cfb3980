"""A dead shard fails the sequences whose tokens need it, at the token that does, and no other.

The reference says for every token which experts it visits; so who fails, and after how many tokens,
is known before the cluster runs.
"""

from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import numpy as np
import pytest

from cluster.worlds.virtual import VirtualWorld
from tests.cluster.worlds.cluster import (
    ask,
    ask_all,
    blueprint,
    prompt,
    request,
    run,
    settle,
    workers_of,
)
from workers.chip.chip import Chip
from workers.chip.scheduler import Scheduler, Step
from workers.model.base import StepLayout, StepSequence
from workers.model.forward import forward
from workers.model.local import run_here
from workers.model.program import Rows, Sums
from workers.model.reference import Reference
from workers.model.sampling_params import SamplingParams

NUM_EXPERTS, DEAD, NUM_TOKENS = 8, 3, 10
# An expert a shard, one chip, small steps.
ONE_EACH: dict[str, object] = {
    "cluster.nodes.prefill": None,
    "cluster.nodes.decode": None,
    "cluster.nodes.chip": {"workers": ["chip"], "device": "h100-sxm", "link": "lowlat-2us"},
    "cluster.nodes.experts.count": NUM_EXPERTS,
    "placement.kv_pool": False,
}


@dataclass(frozen=True)
class Fate:
    """What one prompt comes to without expert DEAD: its first tokens, and whether it fails then."""

    prompt_ids: tuple[int, ...]
    tokens: list[int]
    fails: bool


@cache
def reference() -> Reference:
    return Reference(blueprint(ONE_EACH).folder)


def fate(prompt_ids: tuple[int, ...]) -> Fate:
    """A sequence fails in the step that computes its first token with the dead expert."""
    params = SamplingParams(max_tokens=NUM_TOKENS, ignore_eos=True)
    tokens = list(reference().generate(prompt_ids, params).token_ids)
    ids = np.array([*prompt_ids, *tokens[:-1]])
    needs = np.zeros(len(ids), dtype=bool)

    def noted(layer: int, rows_T: Rows, experts_TK: Any, weights_TK: Any) -> Sums:
        needs[(experts_TK == DEAD).any(axis=1)] = True
        return reference().experts.forward(layer, rows_T, experts_TK, weights_TK)

    chip = reference().chip
    layout = StepLayout((StepSequence((0, 1, 2, 3), 0, len(ids)),))
    run_here(forward(chip, partial(chip.embed, ids), layout), noted)()
    if not needs.any():
        return Fate(prompt_ids, tokens, False)
    first = int(np.flatnonzero(needs)[0])
    return Fate(prompt_ids, tokens[: max(0, first - len(prompt_ids) + 1)], True)


@cache
def fates() -> list[Fate]:
    """Of some prompts, two that fail at once, four that fail after some tokens, four that last."""
    all_of_them = [fate((3 + i,)) for i in range(400)]
    at_once = [f for f in all_of_them if f.fails and not f.tokens]
    later = [f for f in all_of_them if f.fails and f.tokens]
    unharmed = [f for f in all_of_them if not f.fails]
    chosen = [*later[:2], *unharmed[:2], *at_once[:2], *unharmed[2:4], *later[2:4]]
    assert len(chosen) == 10, "the model routes too evenly for this test"
    return chosen


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[Step]:
    made: list[Step] = []
    schedule = Scheduler.schedule

    def recorded(self: Scheduler) -> Step | None:
        step = schedule(self)
        if step is not None:
            made.append(step)
        return step

    monkeypatch.setattr(Scheduler, "schedule", recorded)
    return made


async def kill(world: VirtualWorld, name: str) -> None:
    await world.kill(name)


@pytest.mark.parametrize("micro_batches", [1, 2])
def test_who_does_not_need_it_goes_on_with_the_same_tokens(
    micro_batches: int, steps: list[Step]
) -> None:
    async def job(world: VirtualWorld) -> None:
        await kill(world, f"experts-{DEAD}")
        wanted = [
            request(f"r{i}", prompt_ids=f.prompt_ids, max_tokens=NUM_TOKENS)
            for i, f in enumerate(fates())
        ]
        heard = await ask_all(world, wanted)
        assert [one.tokens for one in heard] == [f.tokens for f in fates()]
        assert [one.code for one in heard] == ["peer_dead" if f.fails else "" for f in fates()]
        assert all(f"experts-{DEAD}" in str(o.last.error) for o in heard if o.outputs and o.code)
        await settle(world, dead=(f"experts-{DEAD}",))

    run(blueprint({**ONE_EACH, "model.micro_batches": micro_batches}), job)
    doomed = [f"r{i}" for i, f in enumerate(fates()) if f.fails]
    shared = [{i.seq.seq_id in doomed for i in step.items} for step in steps]
    assert {True, False} in shared, "nobody failed beside one that went on"


def test_what_was_computed_without_its_experts_is_never_found(steps: list[Step]) -> None:
    """A long prompt fails in its first step; its full blocks were written, and are nobody's."""
    ids = prompt(1, 40)
    assert fate(ids).fails

    async def job(world: VirtualWorld) -> None:
        await kill(world, f"experts-{DEAD}")
        failed = await ask(world, request("r", prompt_ids=ids))
        assert failed.code == "peer_dead" and not failed.tokens
        (chip,) = workers_of(world, Chip).values()
        assert chip._scheduler.blocks.lookup(ids) == 0
        await settle(world, dead=(f"experts-{DEAD}",))

    run(blueprint(ONE_EACH), job)
    assert [step.num_tokens for step in steps] == [40], "nobody has them, so no other is asked"
