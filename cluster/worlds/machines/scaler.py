"""More nodes of chips for a cluster that stands, or fewer, while it serves.

    plan anew ─▶ room? ─▶ place, meet, open the new ─▶ drain the leaving ─▶ part from them, end them

Nodes that come stand on machines that the cluster has already (its certificates are for those),
where the fewest of its nodes stand, each in a placement group of its own, which goes with it. A
machine that is gone for good takes such a node along: scaled down and up again it is elsewhere. A
node that the cluster was raised with has its bundle in a placement group with others, which Ray
cannot make smaller: that bundle stays reserved, and a node of that name that comes later stands
there again.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

import ray
from ray.util.placement_group import (
    get_placement_group,
    placement_group,
    remove_placement_group,
)

from cluster.worlds.blueprint import Blueprint
from cluster.worlds.machines import names
from cluster.worlds.machines.bundles import (
    ADDED,
    Placement,
    emptiest,
    machines_for,
    more_problems,
    placement_of,
)
from cluster.worlds.machines.fleet import Fleet, Lenient, machine_of
from cluster.worlds.machines.mender import Mender
from cluster.worlds.machines.rooms import rooms
from cluster.worlds.machines.setup import Setup
from cluster.worlds.raising import busy_with, part_with, raise_more
from cluster.worlds.scaling import added, by_steps, counts_of
from configs.plan import NodePlan
from configs.schema import ScenarioError
from workers.errors import PeerDead, PerfuseError

LOOK_EVERY_S = 0.2
TELL_S = 10.0
NODE_ID = "ray.io/node-id"  # Ray's own label of each machine


class Scaler:
    """on_step   told of each step"""

    def __init__(self, fleet: Fleet, mender: Mender, on_step: Callable[[str], None]) -> None:
        self._fleet, self._mender, self._on_step = fleet, mender, on_step
        self._lenient = Lenient(fleet, TELL_S)
        self._task: asyncio.Task[None] | None = None
        self._notes: dict[str, str] = {}

    def note(self, node: str) -> str:
        """ "joins" or "drains", of a node that does; else nothing."""
        return self._notes.get(node, "")

    async def scale(self, counts: Mapping[str, int]) -> None:
        """So many nodes of these groups; returns when those that come have come, and those that
        leave have ended what they had. What fails leaves the cluster serving, and says what stands.

        Raises ScenarioError, ValueError, PerfuseError.
        """
        if self._task is not None:
            raise ValueError(
                "the cluster is being scaled: `perfuse status` shows which nodes join and which "
                "drain; ask again when none does"
            )
        self._task = asyncio.get_running_loop().create_task(self._scale(counts))
        try:
            await self._task
        except asyncio.CancelledError:
            raise ValueError("the cluster ends") from None
        finally:
            self._task = None
            self._notes.clear()

    async def end(self) -> None:
        """Whatever is under way goes no further."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _scale(self, counts: Mapping[str, int]) -> None:
        before = self._fleet.setup.blueprint
        grown, after = by_steps(before, counts)
        new, leaving = added(before, grown), [node.name for node in added(after, grown)]
        self._check(grown, new)
        try:
            if new:
                await self._grow(grown, new)
            if leaving:
                await self._shrink(grown, after, leaving)
        except (PerfuseError, ValueError, OSError) as error:
            stands = counts_of(self._fleet.setup.blueprint, counts)
            raise PerfuseError(f"{error}: the cluster serves on, with {stands}") from error

    def _check(self, grown: Blueprint, new: Sequence[NodePlan]) -> None:
        """Before anything changes."""
        setup, where = self._fleet.setup, self._fleet.where
        placeless = [node for node in new if not setup.has_place(node.name)]
        cluster = grown.scenario.cluster
        problems = more_problems(cluster, grown.plan, placeless, rooms(setup.hosts), where)
        if problems:
            raise ScenarioError(f"cluster {setup.name} cannot be scaled so:", problems)

    # -- more --------------------------------------------------------------------------------------

    async def _grow(self, grown: Blueprint, new: Sequence[NodePlan]) -> None:
        fleet, mender = self._fleet, self._mender
        epochs = {node.name: fleet.epochs.get(node.name, 0) + 1 for node in new}
        self._notes.update(dict.fromkeys(epochs, "joins"))
        self._on_step(f"starting {', '.join(epochs)}")
        async with mender.lock:
            before = fleet.setup
            try:
                placements = await self._placed(grown, new, epochs)
                more = (*before.placements, *placements)
                fleet.become(replace(before, blueprint=grown, placements=more))
                members = await raise_more(fleet, mender.members, grown, epochs)
                await mender.take_in([one for one in members if one.node in epochs])
                self._notes.clear()
            except BaseException:
                await self._undo(before, epochs)
                raise
        self._on_step(f"{', '.join(epochs)} {'serves' if len(epochs) == 1 else 'serve'}")

    async def _placed(
        self, grown: Blueprint, new: Sequence[NodePlan], epochs: Mapping[str, int]
    ) -> list[Placement]:
        """A placement group for each that has no place. Raises TimeoutError."""
        setup, cluster = self._fleet.setup, grown.scenario.cluster
        where, free, placements = dict(self._fleet.where), rooms(setup.hosts), []
        for node in new:
            if setup.has_place(node.name):
                continue
            placement = placement_of(cluster, node, epochs[node.name])
            (bundle,) = placement.bundles
            allowed = machines_for(cluster, grown.plan, node, setup.hosts, where)
            chosen = emptiest(bundle, allowed, free, where)
            group_name = names.group(setup.name, placement.name)
            group = placement_group(
                [dict(bundle.takes)],
                strategy=placement.strategy,
                name=group_name,
                lifetime="detached",
                bundle_label_selector=[{**bundle.labels, NODE_ID: f"in({', '.join(chosen)})"}],
            )
            machine = where[node.name] = await machine_of(group, group_name, 0)
            free[machine] = free[machine].less(bundle)
            placements.append(placement)
        return placements

    async def _undo(self, before: Setup, epochs: Mapping[str, int]) -> None:
        """None of them has come; what was placed on one that had joined ends with an error."""
        fleet, living = self._fleet, [member.node for member in self._mender.members]
        for node, epoch in epochs.items():
            fleet.forget(node)
            await self._lenient.ask_each(living, "part", node, "it did not join")
            self._give_back(before, node, f"{ADDED}{node}/{epoch}")
        self._mender.dismiss(list(epochs))
        fleet.become(before)
        await self._lenient.ask_each(living, "extend", before.blueprint)

    def _give_back(self, setup: Setup, node: str, placement: str) -> None:
        """The place of a node that came later, if there is one."""
        with suppress(ValueError, ray.exceptions.RayError):
            remove_placement_group(get_placement_group(names.group(setup.name, placement)))
            self._fleet.where.pop(node, None)

    # -- fewer -------------------------------------------------------------------------------------

    async def _shrink(self, grown: Blueprint, after: Blueprint, leaving: Sequence[str]) -> None:
        fleet, mender = self._fleet, self._mender
        self._notes.update(dict.fromkeys(leaving, "drains"))
        self._on_step(f"draining {', '.join(leaving)}")
        await self._until_done(grown, leaving)
        self._on_step(f"removing {', '.join(leaving)}")
        async with mender.lock:
            setup, living = fleet.setup, list(mender.members)
            mender.dismiss(leaving)
            kept = [one for one in setup.placements if not _is_of(one, leaving)]
            fleet.become(replace(setup, blueprint=after, placements=tuple(kept)))
            await part_with(self._lenient, living, after, leaving)
            for node in leaving:
                fleet.forget(node)
        for placement in setup.placements:
            if placement not in kept:
                self._give_back(setup, placement.bundles[0].node, placement.name)

    async def _until_done(self, grown: Blueprint, leaving: Sequence[str]) -> None:
        while True:
            if not await self._is_busy(grown, leaving):
                return
            await asyncio.sleep(LOOK_EVERY_S)

    async def _is_busy(self, grown: Blueprint, leaving: Sequence[str]) -> bool:
        """Nobody knows while somebody who should say so is away. Raises PeerDead if the router
        stays away.
        """
        router, members = grown.node_of("router").name, self._mender.members
        try:
            if all(member.node != router for member in members):  # its next one may half stand
                raise PeerDead(f"{router} is gone", node=router)
            return bool(await busy_with(self._fleet, members, grown, leaving))
        except (PeerDead, TimeoutError):
            if not self._mender.returns(router):
                raise
            return True


def _is_of(placement: Placement, nodes: Sequence[str]) -> bool:
    """Whether it came with one of these nodes, and goes with it."""
    return placement.name.startswith(ADDED) and placement.bundles[0].node in nodes
