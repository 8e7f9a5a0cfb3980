"""Running a scenario's workload in any world: what several commands share."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from time import monotonic, sleep

from cluster.reports.flash_file import wears_since
from cluster.workload.build import Workload
from cluster.workload.driver import Answer, Driver
from cluster.worlds.blueprint import Blueprint
from cluster.worlds.choice import live_world
from cluster.worlds.live import LiveWorld
from cluster.worlds.virtual import VirtualWorld, run_virtual
from workers.flash.wear import Wear
from workers.hardware.energy.meter import Reading
from workers.hardware.usage import Usage, more
from workers.host.trace import Record
from workers.node import OnRouted
from workers.wire.fabric.counts import NetworkCounts

OnAnswer = Callable[[Answer], None]
Queues = dict[str, dict[str, int]]
Counts = dict[str, dict[str, int]]
# How long a live cluster may take to let go of everything, once the last answer is there.
LET_GO_S = 30


@dataclass(slots=True)
class Run:
    """What came of a run.

    lateness    (request id, nanoseconds late) of every run and delivery; empty in the virtual world
    trace_hash  of the virtual world; "" elsewhere
    held        what the cluster still holds for requests when idle: all zeros, or it leaks
    energy      node -> what it drew meanwhile; empty where nothing is emulated, or nobody asked
    queues      node -> what waits there -> how much of it ever waited at once
    counts      what workers counted meanwhile, on all nodes: `preemptions`, sequences that lost
                their KV blocks to older ones; what came of KV offload and expert prefetch
                (`cluster.reports.reuse`); tokens of each expert (`cluster.reports.experts`)
    usage       node -> how long its resources worked meanwhile, and what its tiers moved
    network     what crossed the network meanwhile; None where there is none
    flash_wear  node -> tier -> how worn the file behind it is, and what was written meanwhile
    """

    answers: list[Answer]
    held: dict[str, int]
    energy: dict[str, Reading] = field(default_factory=dict)
    queues: Queues = field(default_factory=dict)
    trace_hash: str = ""
    lateness: list[tuple[str, int]] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    usage: dict[str, Usage] = field(default_factory=dict)
    flash_wear: dict[str, dict[str, Wear]] = field(default_factory=dict)
    network: NetworkCounts | None = None

    @property
    def preemptions(self) -> int:
        return self.counts.get("preemptions", 0)

    @property
    def joules(self) -> dict[str, dict[str, float]]:
        """Node -> {"machine", "link"}: of what was computed, moved and sent."""
        return {node: dict(reading.accounts) for node, reading in self.energy.items()}

    @property
    def page_latencies(self) -> dict[str, Mapping[str, Mapping[int, int]]]:
        """Node -> "<tier>.read" or ".write" of a tier with banks -> how long its pages took."""
        return {node: usage.latencies for node, usage in self.usage.items()}


def run_in_virtual(
    blueprint: Blueprint,
    workload: Workload,
    on_answer: OnAnswer,
    on_routed: OnRouted | None = None,
) -> Run:
    """In this process, in exact virtual time; `on_routed` is told which experts tokens choose."""

    async def job(world: VirtualWorld) -> Run:
        for node in world.nodes.values():
            node.on_routed = on_routed
        return await _drive(world, workload, on_answer)

    return run_virtual(blueprint, job)


def run_traced(blueprint: Blueprint, workload: Workload) -> tuple[Run, list[Record]]:
    """The same, and the records of the workload (those of the start left out)."""

    async def job(world: VirtualWorld) -> tuple[Run, list[Record]]:
        world.trace.records.clear()
        run = await _drive(world, workload, lambda _: None)
        return run, list(world.trace.records)

    return run_virtual(blueprint, job)


async def _drive(world: VirtualWorld, workload: Workload, on_answer: OnAnswer) -> Run:
    nodes = list(world.seats)
    await world.ask_each(nodes, "reset_trace")
    counted = await world.ask_each(nodes, "counts")
    usage = await world.ask_each(nodes, "usage")
    wear = await world.ask_each(nodes, "flash_wear")
    crossed = world.host.network_counts()
    answers = await Driver(world.gateway, world.client, on_answer).run(workload)
    energy = metered(await world.ask_each(nodes, "energy"))
    counts = _more(counted, await world.ask_each(nodes, "counts"))
    queues = await world.ask_each(nodes, "queues")
    usage = _usage(usage, await world.ask_each(nodes, "usage"))
    wear = wears_since(wear, await world.ask_each(nodes, "flash_wear"))
    held = await held_when_idle(world)
    crossed = _crossed(crossed, world.host.network_counts())
    trace_hash = world.trace.digest()
    return Run(
        answers, held, energy, queues, trace_hash,
        counts=counts, usage=usage, flash_wear=wear, network=crossed,
    )  # fmt: skip


async def held_when_idle(world: VirtualWorld) -> dict[str, int]:
    """The last answer may have come while a step computes what nobody wants any more, or while an
    acknowledgement that was lost is missed: what is held is asked again after the time of a call.
    """
    held = await world.client.held_everywhere()
    if any(held.values()):
        await world.clock.wait_until(world.clock.now() + world.blueprint.timeout_ns)
        held = await world.client.held_everywhere()
    return held


def _more(before: Counts, after: Counts) -> dict[str, int]:
    """Of what nodes count, all together; one that came back meanwhile began at 0."""
    counts: dict[str, int] = {}
    for node, told in after.items():
        for what, count in told.items():
            more_here = count - min(before.get(node, {}).get(what, 0), count)
            counts[what] = counts.get(what, 0) + more_here
    return counts


def _usage(before: Mapping[str, Usage], after: Mapping[str, Usage]) -> dict[str, Usage]:
    return {node: more(before.get(node), told) for node, told in after.items()}


def _crossed(before: NetworkCounts | None, after: NetworkCounts | None) -> NetworkCounts | None:
    return after if before is None or after is None else after.since(before)


def metered(readings: Mapping[str, Reading | None]) -> dict[str, Reading]:
    """Those of nodes that emulate."""
    return {node: reading for node, reading in readings.items() if reading is not None}


def run_live(
    blueprint: Blueprint, workload: Workload, on_answer: OnAnswer, on_step: Callable[[str], None]
) -> Run:
    """On the wall clock, in the live world that the scenario names; the workload enters at the
    gateway's node.
    """
    with live_world(blueprint, on_step) as world:
        return run_in(world, workload, on_answer)


def run_in(world: LiveWorld, workload: Workload, on_answer: OnAnswer) -> Run:
    """In a live cluster that stands."""
    world.ask_all("reset_trace")
    counted, usage = world.ask_all("counts"), world.ask_all("usage")
    wear = world.ask_all("flash_wear")
    crossed = world.network_counts()
    answers = world.run(workload, on_answer)
    energy = metered(world.ask_all("energy"))
    counts = _more(counted, world.ask_all("counts"))
    lateness = [record for records in world.ask_all("lateness").values() for record in records]
    queues, held = world.ask_all("queues"), _held_when_idle(world)
    usage = _usage(usage, world.ask_all("usage"))
    wear = wears_since(wear, world.ask_all("flash_wear"))
    crossed = _crossed(crossed, world.network_counts())
    return Run(
        answers, held, energy, queues, "", lateness,
        counts=counts, usage=usage, flash_wear=wear, network=crossed,
    )  # fmt: skip


def _held_when_idle(world: LiveWorld) -> dict[str, int]:
    """The same on the wall, where a lost acknowledgement is missed after a second or a few."""
    until_s = monotonic() + LET_GO_S
    while any((held := world.ask_gateway("held")).values()) and monotonic() < until_s:
        sleep(0.1)
    return dict(held)
