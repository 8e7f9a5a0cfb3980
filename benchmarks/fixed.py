"""A load of fixed lengths, and a run of a scenario's own workload in the world that it names."""

from collections.abc import Mapping
from typing import Any

from cluster.runs.run import Run, run_in_virtual, run_live
from cluster.workload.build import Workload, build_workload
from cluster.worlds.blueprint import Blueprint


def lengths(prompt: int, outputs: int) -> Mapping[str, Any]:
    """What makes every request one of so many tokens, as a change of a scenario."""
    fixed = {"input_length": {"fixed": prompt}, "output_length": {"fixed": outputs}}
    return {"workload.prompts": {"synthetic": fixed}}


def run_there(blueprint: Blueprint) -> Run:
    """All of its requests; nobody watches."""
    workload: Workload = build_workload(blueprint.scenario, blueprint.model.vocab)
    if blueprint.scenario.cluster.world == "virtual":
        return run_in_virtual(blueprint, workload, lambda _: None)
    return run_live(blueprint, workload, lambda _: None, lambda _: None)
