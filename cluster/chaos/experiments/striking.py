"""Whether faults struck, and when: from the trace, the scenario and what rules of links decided."""

import math
from collections.abc import Iterator
from typing import Any

from cluster.chaos.experiments.schema import Storm
from cluster.worlds.virtual import VirtualWorld
from configs.schema.faults import BandwidthFault, link_faults
from workers.host.trace import Noted
from workers.wire.message import Message
from workers.wire.rules import Pass, Rule, Verdict

Spell = tuple[str, int, int | None]
# What a fault of a node says when it is over.
OVER = ("restart", "resume", "slow ends", "disk_full ends")
NEVER = " missed"


class Strikes:
    """Counts messages that rules of links change. In the links of nodes that stand now: the next
    incarnation of one has rules that nobody counts.
    """

    def __init__(self, world: VirtualWorld) -> None:
        self._world, self._num_hits = world, 0
        self._rules = link_faults(world.blueprint.scenario.faults)
        for node in world.nodes.values():
            found = node.endpoint.rules
            for name in self._rules.keys() & found.keys():
                found[name] = _Counted(found[name], self)

    def hit(self) -> None:
        self._num_hits += 1

    def count(self) -> int:
        """Faults of nodes, messages hit by rules, and narrow links, which are if they begin."""
        begun = [what for what, *_ in _notes(self._world)]
        now_ns = self._world.clock.now()
        narrow = [
            rule
            for rule in self._rules.values()
            if isinstance(rule, BandwidthFault) and rule.start_ns < now_ns
        ]
        return len(begun) + self._num_hits + len(narrow)


class _Counted:
    def __init__(self, rule: Rule, strikes: Strikes) -> None:
        self._rule, self._strikes = rule, strikes

    def judge(self, source: str, destination: str, message: Message[Any]) -> Verdict:
        verdict = self._rule.judge(source, destination, message)
        if not isinstance(verdict, Pass):
            self._strikes.hit()
        return verdict


def spells_of(world: VirtualWorld, storm: Storm | None) -> Iterator[Spell]:
    """What went wrong from when until when, as far as it began at all."""
    yield from _notes(world)
    now_ns = world.clock.now()
    for name, rule in link_faults(world.blueprint.scenario.faults).items():
        if rule.start_ns < now_ns:
            end_ns = math.inf if rule.duration_ns is None else rule.start_ns + rule.duration_ns
            way = f"{rule.source} -> {rule.destination}, {rule.kind}"
            until = int(end_ns) if end_ns < now_ns else None
            yield f"{name}: {rule.type} {way}", rule.start_ns, until
    if storm is not None and storm.at_ns < now_ns:
        yield f"storm of {storm.requests}", storm.at_ns, storm.at_ns


def _notes(world: VirtualWorld) -> Iterator[Spell]:
    """Of faults of nodes; one that was missed is none."""
    opened: list[tuple[str, str, int]] = []
    for record in world.trace.records:
        if not isinstance(record, Noted) or record.what != "fault":
            continue
        name, _, what = record.detail.partition(": ")
        if what in OVER:
            spell = next(one for one in opened if one[0] == f"{name} {record.subject}")
            opened.remove(spell)
            yield f"{spell[1]}", spell[2], record.at_ns
        elif what.startswith("page_error") and NEVER not in what:
            yield f"{record.subject}: page error", record.at_ns, record.at_ns
        elif NEVER not in what:
            opened.append((f"{name} {record.subject}", f"{record.subject}: {what}", record.at_ns))
    for _, what, at_ns in opened:
        yield what, at_ns, None
