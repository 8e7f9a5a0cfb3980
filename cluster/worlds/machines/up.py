"""Raising a cluster on the machines of a Ray cluster that this process has joined.

    ask the machines ─▶ refuse what cannot be ─▶ placement groups ─▶ keeper ─▶ its nodes

Nothing is started before all machines were asked; what was started goes again if a later step
fails.
"""

import logging
import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import ray
from ray.util.placement_group import placement_group
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from cluster.gateway.settings import GatewaySettings
from cluster.own_packages import ROOT
from cluster.worlds.blueprint import Blueprint
from cluster.worlds.machines import names, probe
from cluster.worlds.machines.answers import said
from cluster.worlds.machines.bundles import (
    Placement,
    counted,
    placements_of,
    room_problems,
)
from cluster.worlds.machines.credentials import NOT_THERE, credentials
from cluster.worlds.machines.down import take_down
from cluster.worlds.machines.file_sets import file_sets
from cluster.worlds.machines.files import pieces
from cluster.worlds.machines.following import follow
from cluster.worlds.machines.ground_crew import FILES_S, living
from cluster.worlds.machines.keeper import Keeper
from cluster.worlds.machines.report import MachineReport, far_wire, report_problems
from cluster.worlds.machines.rooms import rooms
from cluster.worlds.machines.setup import Setup
from cluster.worlds.machines.standing import clusters
from cluster.worlds.machines.world import attached
from cluster.worlds.raising import OnStep
from configs.schema import ScenarioError, load_scenario

log = logging.getLogger(__name__)

PROBE_S, PLACE_S = 120.0, 30.0
LEAST_CPU = 0.0001  # Ray's finest
# What every part of a node imports; the rest of the dependencies are commands'.
DEPENDENCIES = ("grpc", "numpy", "psutil", "pydantic", "ray", "safetensors", "tokenizers", "yaml")
# Ray's resource of the machine on which its head runs.
HEAD = {"node:__internal_head__": 0.001}


def up(blueprint: Blueprint, name: str, on_step: OnStep) -> None:
    """Let a cluster of that name stand. It goes on when this process ends.

    Raises ValueError where one stands already, ScenarioError with all that is wrong with machines
    and scenario, TimeoutError where a step takes too long.
    """
    names.check(name)
    if name in clusters():
        raise _taken(name)
    cluster, plan = blueprint.scenario.cluster, blueprint.plan
    on_step(f"asking {counted(len(living()))}")
    reports = ask_machines()
    problems = report_problems(cluster, probe.digest(ROOT), reports)
    problems = problems or room_problems(
        cluster, plan, list(rooms({each.node_id: each.name for each in reports}).values())
    )
    if problems:
        raise ScenarioError(NOT_THERE, problems)
    _take_name(name)
    _raise(blueprint, name, reports, on_step)


def _taken(name: str) -> ValueError:
    return ValueError(
        f"--name {name}: a cluster of that name stands here, or is being raised, or something is "
        f"left of one: `perfuse down {name}` ends it, or give another name"
    )


def _take_name(name: str) -> None:
    """Of two who raise a cluster of one name at once one has it, by a placement group that Ray
    makes once. Raises ValueError for the other, who has nothing to take down then.
    """
    try:
        placement_group([{"CPU": LEAST_CPU}], name=names.group(name, "name"), lifetime="detached")
    except Exception as error:  # Ray has several for this
        raise _taken(name) from error


def serve_in_cluster(scenario: str) -> str:
    """On a machine of a Ray cluster that this process has joined: let the scenario's cluster stand
    if it does not, and its gateway listen; returns the URL. Raises as `up` and `attached` do.
    """
    blueprint = Blueprint.draw(load_scenario(scenario, {"cluster.world": "ray"}))
    name = blueprint.scenario.name
    if name not in clusters():
        up(blueprint, name, log.info)
    world = attached(name)
    world.check_same(blueprint.scenario)
    return world.serve(None, 0, GatewaySettings())


def _raise(
    blueprint: Blueprint,
    name: str,
    reports: Sequence[MachineReport],
    on_step: OnStep,
) -> None:
    cluster = blueprint.scenario.cluster
    placements = tuple(placements_of(cluster, blueprint.plan))
    with _gone_on_failure(name):
        on_step("placing")
        used = _placed(name, placements)
        hosts = {each.node_id: each.name for each in reports if each.node_id in used}
        addresses = [each.address for each in reports]  # Ray may move a node to any of them
        far = far_wire(reports, has_certificates=cluster.certificates is not None)
        certificates = credentials(cluster, addresses)
        token = secrets.token_hex(16)
        sets = file_sets(blueprint)
        setup = Setup(name, blueprint, placements, far, token, certificates, hosts, sets)
        keeper: Any = (
            ray.remote(Keeper)
            .options(
                name=names.keeper(name),
                namespace=names.NAMESPACE,
                lifetime="detached",
                num_cpus=0,
                resources=HEAD,
                max_restarts=0,
                max_concurrency=1000,
            )
            .remote(setup)
        )
        _send(keeper, setup, on_step)
        told = follow(keeper, keeper.check_reach.remote(), 0, on_step)
        follow(keeper, keeper.raise_all.remote(), told, on_step)


def _send(keeper: Any, setup: Setup, on_step: OnStep) -> None:
    """To the keeper's machine, what it does not see of this one's files."""
    whom = "the machine of Ray's head"
    for what in said(keeper.lacks.remote(), whom, FILES_S):
        on_step(f"sending {setup.files[what].path}")
        for piece in pieces(setup.files[what].path):
            said(keeper.receive.remote(what, piece), whom, FILES_S)
        said(keeper.complete.remote(what), whom, FILES_S)


@contextmanager
def _gone_on_failure(name: str) -> Iterator[None]:
    try:
        yield
    except BaseException:
        take_down(name)
        raise


def ask_machines() -> list[MachineReport]:
    """Every machine of the Ray cluster, at once. Raises TimeoutError naming the silent."""
    ray.cloudpickle.register_pickle_by_value(probe)
    machines = {each["NodeID"]: each["NodeManagerAddress"] for each in living()}
    asked = {
        machine: ray.remote(probe.probe)
        .options(
            num_cpus=0,
            max_retries=0,
            scheduling_strategy=NodeAffinitySchedulingStrategy(machine, soft=False),
        )
        .remote(DEPENDENCIES)
        for machine in machines
    }
    _, late = ray.wait(list(asked.values()), num_returns=len(asked), timeout=PROBE_S)
    if late:
        silent = ", ".join(machines[machine] for machine, one in asked.items() if one in late)
        raise TimeoutError(f"no answer within {PROBE_S:g} s from {silent}: is Ray well there?")
    told = [said(one, machines[machine], PROBE_S) for machine, one in asked.items()]
    return [MachineReport(**each) for each in told]


def _placed(name: str, placements: Sequence[Placement]) -> set[str]:
    """Reserve a place for every node; Ray's ids of the machines. Raises ScenarioError."""
    groups = [
        placement_group(
            [dict(bundle.takes) for bundle in placement.bundles],
            strategy=placement.strategy,
            name=names.group(name, placement.name),
            lifetime="detached",
            bundle_label_selector=[dict(bundle.labels) for bundle in placement.bundles],
        )
        for placement in placements
    ]
    ends_s = time.monotonic() + PLACE_S
    used: set[str] = set()
    for placement, group in zip(placements, groups, strict=True):
        if not group.wait(max(1.0, ends_s - time.monotonic())):
            nodes = ", ".join(bundle.node for bundle in placement.bundles)
            raise ScenarioError(
                NOT_THERE,
                [
                    f"cluster.nodes: Ray found no place for {nodes} together ({placement.strategy})"
                    f" within {PLACE_S:g} s: ask for less (machines.cpus, memory, resources), or "
                    "add machines; `ray status` shows what is free"
                ],
            )
        table = ray.util.placement_group_table(group)
        used |= {str(machine) for machine in table["bundles_to_node_id"].values()}
    return used
