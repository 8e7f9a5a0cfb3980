"""A folded cluster does what its members would do one by one."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.network._fold_clusters import folded_cluster
from benchmarks.network.fold import compared
from cluster.api.output import Output
from cluster.runs.routing import RoutingRecorder
from cluster.runs.run import run_in_virtual
from cluster.workload.build import build_workload
from cluster.workload.driver import Driver
from cluster.worlds.blueprint import Blueprint
from cluster.worlds.scaling import scaled
from cluster.worlds.virtual import VirtualWorld, run_virtual
from configs.schema import ScenarioError, load_scenario
from workers.fold.chip import FoldedChip
from workers.host.trace import Delivered

# Of the 50 of `make bench-network`: chips that do both, and prefill apart from decode.
NUMBERS = (3, 5, 6)


def folded(folder: Path, number: int, **changes: Any) -> Blueprint:
    path = folder / "folded.yaml"
    path.write_text(json.dumps(folded_cluster(number, folder)))
    return Blueprint.draw(load_scenario(path, changes))


@pytest.mark.parametrize("number", NUMBERS)
def test_texts_are_equal_and_times_within_a_hundredth(number: int, tmp_path: Path) -> None:
    same, off = compared(number, tmp_path)
    assert same
    assert max(off.values()) < 0.01


def test_who_leaves_in_the_middle_of_a_stretch_leaves_nothing(tmp_path: Path) -> None:
    """Its blocks are free, those held ahead as well; the others go on as if it had never been."""
    blueprint = folded(tmp_path, 3)
    workload = build_workload(blueprint.scenario, blueprint.model.vocab)

    async def job(world: VirtualWorld) -> tuple[list[list[int]], dict[str, int]]:
        async def leave() -> None:
            told: list[Output] = []
            request = workload.requests[0].request
            async for output in world.client.submit(request):
                told.append(output)
                if len(told) == 2:
                    break

        leaving = world.gateway.spawn(leave(), "leave")
        rest = replace(workload, requests=workload.requests[1:])
        answers = await Driver(world.gateway, world.client).run(rest)
        await leaving
        await world.clock.wait_until(world.clock.now() + world.blueprint.timeout_ns)
        held = await world.client.held_everywhere()
        for crew in world.crews.values():
            for chip in crew._chips:
                assert isinstance(chip, FoldedChip)
                chip._scheduler.check_integrity()
        return [answer.token_ids for answer in answers], held

    tokens, held = run_virtual(blueprint, job)
    assert not any(held.values())
    assert all(tokens)


def test_what_tokens_choose_is_told_as_if_it_were_not_folded(tmp_path: Path) -> None:
    tables = list[list[Any]]()
    for fold in ("on", "off"):
        blueprint = folded(tmp_path, 3, **{"cluster.fold": fold})
        recorder = RoutingRecorder(blueprint.model)
        workload = build_workload(blueprint.scenario, blueprint.model.vocab)
        run_in_virtual(blueprint, workload, lambda _: None, recorder.take)
        tables.append(recorder.table().tolist())
    assert tables[0] and tables[0] == tables[1]


def test_its_counts_stay_and_nobody_dies(tmp_path: Path) -> None:
    blueprint = folded(tmp_path, 3)
    group = next(name for name in blueprint.scenario.cluster.nodes if name in ("chip", "decode"))
    with pytest.raises(ScenarioError, match=r"cluster\.fold: \d chips are computed as one"):
        scaled(blueprint, {group: 9})

    async def kill(world: VirtualWorld) -> None:
        with pytest.raises(ValueError, match=r"member of a fold: set cluster\.fold: off"):
            await world.kill(f"{group}-0")

    run_virtual(blueprint, kill)


@pytest.mark.parametrize(("fold", "is_asked"), [("on", False), ("off", True)])
def test_members_are_not_asked_whether_they_are_still_there(
    fold: str, is_asked: bool, tmp_path: Path
) -> None:
    """A stretch may say nothing for seconds; whoever is asked tells at once what it has, and a
    stretch is none any more.
    """
    blueprint = folded(tmp_path, 3, **{"cluster.fold": fold, "cluster.silence": "200 us"})
    workload = build_workload(blueprint.scenario, blueprint.model.vocab)

    async def job(world: VirtualWorld) -> bool:
        await Driver(world.gateway, world.client).run(workload)
        return any(isinstance(r, Delivered) and r.kind == "chip_state" for r in world.trace.records)

    assert run_virtual(blueprint, job) is is_asked
