"""Faults of nodes as they happen: each at its time or event, done by a world's hands, and told in
the trace.

    fault | decode-0 | fault-0: crash        what, of which node, by which fault
    fault | decode-0 | fault-0: restart      and how it ended

A fault whose node is dead when its moment comes is `missed`, and told too.
"""

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType

from cluster.faults.actuator import Actuator, Insides
from cluster.faults.events import Awaited, Tap, awaited_of
from cluster.faults.instants import instants_of
from cluster.faults.spells import spell_of
from configs.schema.faults import (
    ClockSkewFault,
    CrashFault,
    DiskFullFault,
    FaultRule,
    NodeFault,
    OutOfMemoryFault,
    PageErrorFault,
    PauseFault,
    SlowFault,
    WearOutFault,
)
from workers.host.clock.base import Clock
from workers.host.rng import Rng
from workers.host.trace import Trace

OnFailure = Callable[[str, BaseException], None]


class Firing:
    """All faults of a world's nodes.

    faults       by name          directory   worker -> node
    clock        of the world, which no fault stops
    insides      for faults that need more than `hands`: without, there are none of these
    rules        faults of links, of which those that wait for a message are told to `begin_rule`
    on_failure   told of an error that no fault should raise: a bug

    tap   a rule for every node's links, where any fault waits for an event; else None
    """

    def __init__(
        self,
        faults: Mapping[str, NodeFault],
        directory: Mapping[str, str],
        clock: Clock,
        rng: Rng,
        hands: Actuator,
        trace: Trace,
        on_failure: OnFailure,
        insides: Insides | None = None,
        rules: Mapping[str, FaultRule] = MappingProxyType({}),
        begin_rule: Callable[[str], None] | None = None,
    ) -> None:
        self._faults, self._directory = dict(faults), directory
        self._clock, self._rng, self._hands = clock, rng, hands
        self._of_insides = insides
        self._trace, self._on_failure = trace, on_failure
        self._tasks: dict[asyncio.Task[None], None] = {}
        self._num_fired: dict[str, int] = {}
        self._rules = {name: rule for name, rule in rules.items() if rule.waits}
        self._begin_rule = begin_rule
        waits = any(fault.event or fault.transfer for fault in self._faults.values())
        self.tap = Tap() if waits or self._rules else None

    def begin(self) -> None:
        """The cluster stands: events count from now on, and what should have happened happens."""
        for name, fault in self._faults.items():
            for at_ns in instants_of(name, fault, self._rng):
                self._clock.call_at(at_ns, self._fire, name)
            self._await(awaited_of(fault, partial(self._at_once, name, self._fire)))
        for name, rule in self._rules.items():
            self._await(awaited_of(rule, partial(self._at_once, name, self._rule_begins)))

    def add(self, name: str, fault: NodeFault) -> None:
        """One more, that was told now: its times count from here."""
        now_ns, self._faults[name] = self._clock.wall_now(), fault
        for at_ns in instants_of(name, fault, self._rng):
            self._clock.call_at(now_ns + at_ns, self._fire, name)

    def _await(self, awaited: Awaited | None) -> None:
        if awaited is not None:
            assert self.tap is not None, "it was made for whoever waits for an event"
            self.tap.add(awaited)

    async def stop(self) -> None:
        """Nothing more happens. What goes on stays as it is: the world ends."""
        tasks, self._faults = list(self._tasks), {}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _at_once(self, name: str, what: Callable[[str], None]) -> None:
        """In this instant, when whoever sends has ended its turn."""
        self._clock.call_at(self._clock.now(), what, name)

    def _rule_begins(self, name: str) -> None:
        assert self._begin_rule is not None, "`problems` refuses what this world cannot do"
        self._tell(name, "links", f"{self._rules[name].type} begins")
        self._begin_rule(name)

    def _fire(self, name: str) -> None:
        fault = self._faults.get(name)
        if fault is not None:
            task = self._clock.start(self._happens(name, fault), f"fault {name}")
            self._tasks[task] = None
            task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._tasks.pop(task, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._on_failure(task.get_name(), error)

    async def _happens(self, name: str, fault: NodeFault) -> None:
        node = self._directory.get(fault.node, fault.node)
        if self._hands.epoch(node) is None and not isinstance(fault, DiskFullFault):
            self._tell(name, node, f"{fault.type} missed: the node is dead")
            return
        match fault:
            case CrashFault():
                await self._crash(name, node, fault)
            case PauseFault():
                await self._pause(name, node, fault)
            case PageErrorFault():
                await self._page_errors(name, node, fault)
            case DiskFullFault():
                await self._fill_disk(name, node, fault)
            case WearOutFault():
                await self._wear_out(name, node, fault)
            case SlowFault() | OutOfMemoryFault() | ClockSkewFault():
                await self._lasts(name, node, fault)

    async def _crash(self, name: str, node: str, fault: CrashFault) -> None:
        epoch = self._hands.epoch(node)
        self._tell(name, node, "crash")
        await self._hands.crash(node)
        if fault.attributes.restart_after_ns is None:
            return
        await self._pass(fault.attributes.restart_after_ns)
        if self._hands.epoch(node) is None:  # else somebody else was sooner
            await self._hands.restart(node)
            assert self._hands.epoch(node) != epoch, "no incarnation comes twice"
            self._tell(name, node, "restart")

    async def _pause(self, name: str, node: str, fault: PauseFault) -> None:
        epoch = self._hands.epoch(node)
        self._tell(name, node, "pause")
        await self._hands.pause(node)
        await self._pass(fault.duration_ns)
        if self._hands.epoch(node) == epoch:
            self._tell(name, node, "resume")
            await self._hands.resume(node)

    async def _lasts(
        self, name: str, node: str, fault: SlowFault | OutOfMemoryFault | ClockSkewFault
    ) -> None:
        """Of one incarnation, but for a clock, which is its machine's."""
        epoch, spell = self._hands.epoch(node), spell_of(fault)
        self._tell(name, node, f"{fault.type} {spell}")
        await self._insides.begin(node, spell)
        await self._pass(fault.duration_ns)
        if self._hands.epoch(node) == epoch or isinstance(fault, ClockSkewFault):
            await self._insides.end(node, spell)
            self._tell(name, node, f"{fault.type} ends")

    async def _page_errors(self, name: str, node: str, fault: PageErrorFault) -> None:
        begun = self._counted(name)
        for number in range(fault.attributes.blocks):
            share = self._rng.uniform("page error", name, begun, number)
            key = await self._insides.page_error(node, share)
            self._tell(name, node, f"page_error {key}" if key else "page_error missed: no block")

    async def _wear_out(self, name: str, node: str, fault: WearOutFault) -> None:
        draw = self._rng.uniform("wear out", name, self._counted(name))
        num_blocks = await self._insides.wear_out(node, fault.attributes.share, draw)
        told = f"wear_out {num_blocks} blocks" if num_blocks else "wear_out missed: no flash"
        self._tell(name, node, told)

    def _counted(self, name: str) -> int:
        """How often it has happened, with this time: chance is drawn anew each time."""
        self._num_fired[name] = self._num_fired.get(name, 0) + 1
        return self._num_fired[name]

    async def _fill_disk(self, name: str, node: str, fault: DiskFullFault) -> None:
        self._tell(name, node, "disk_full")
        await self._insides.fill_disk(node)
        await self._pass(fault.duration_ns)
        await self._insides.empty_disk(node)
        self._tell(name, node, "disk_full ends")

    @property
    def _insides(self) -> Insides:
        assert self._of_insides is not None, "`node_problems` refuses what this world cannot do"
        return self._of_insides

    async def _pass(self, span_ns: int) -> None:
        await self._clock.wait_until(self._clock.now() + span_ns)

    def _tell(self, name: str, node: str, what: str) -> None:
        self._trace.note(self._clock.now(), "fault", node, f"{name}: {what}")


def nodes_of(
    faults: Mapping[str, NodeFault],
    kind: type[PauseFault | DiskFullFault | ClockSkewFault],
    directory: Mapping[str, str],
) -> frozenset[str]:
    """The nodes that faults of one type are about."""
    meant = (fault.node for fault in faults.values() if isinstance(fault, kind))
    return frozenset(directory.get(name, name) for name in meant)
