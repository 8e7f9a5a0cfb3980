"""Faults begin and end: one watch in the links of all nodes counts what is sent, fires what was
waiting for it, and keeps what each fault hit. It sees what senders send, and asks no worker.
"""

from collections import Counter
from collections.abc import Callable
from typing import Any

from cluster.chaos.kinds import HINDERING, KINDS, Link, Nodes, is_between
from cluster.chaos.points import point_of, word_of
from cluster.chaos.trial import ANYONE, Fault, Seen
from workers.host.clock.base import Clock
from workers.host.rng import Rng
from workers.node import Node
from workers.wire.message import Message
from workers.wire.rules import Delay, Duplicate, Pass, Verdict

WATCH = "chaos"
PASS = Pass()


class Injector:
    """`judge` is the watch. Faults wait from `begin` on, and none is left after `heal`."""

    def __init__(self, faults: tuple[Fault, ...], seed: int, clock: Clock, seen: Seen) -> None:
        self._clock, self._seen, self._rng = clock, seen, Rng(seed)
        self._all = faults
        self._by_kind: dict[str, list[Fault]] = {}
        self._deeds: Nodes | None = None
        self._kinds: Counter[str] = Counter()  # since `begin`
        self._links: Counter[tuple[str, str, str]] = Counter()
        self._calls: dict[tuple[str, int], str] = {}  # (who asked, message id) -> kind
        self._last: dict[str, str] = {}  # node -> kind that it sent last
        self.link_nth, self.word = 0, ""
        self._over_ns = 0  # when the last fault of a link ended
        # Whether a link has been made to lose or to hold back anything: whoever is at its end may
        # seem dead from then on.
        self.is_hindered = False
        # Until when something that a fault held back may arrive.
        self.late_until_ns = 0
        # In the links of all nodes from the start: a message's fate is being asked when one begins.
        self._rules = {
            fault.name: LinkRule(self, fault, what, self._rng)
            for fault in faults
            if isinstance(what := KINDS[fault.what], Link)
        }

    # -- who stands --------------------------------------------------------------------------------

    def placed(self, node: Node) -> None:
        """An incarnation of a node, before it says anything."""
        node.endpoint.rules[WATCH] = self
        node.endpoint.rules.update(self._rules)

    def sent(self) -> dict[str, int]:
        """Kind -> messages since the last `forget_sent`."""
        return {kind: count for kind, count in sorted(self._kinds.items()) if count}

    def forget_sent(self) -> None:
        self._kinds.clear()

    # -- when --------------------------------------------------------------------------------------

    def begin(self, deeds: Nodes) -> None:
        """From now on faults may fire."""
        self._deeds = deeds
        self._kinds.clear()
        self._links.clear()
        for fault in self._all:
            if fault.hits is not None:
                self._fire(fault, fault, "")
            elif fault.at.kind:
                self._by_kind.setdefault(fault.at.kind, []).append(fault)
            else:
                self._clock.call_at(self._clock.now() + fault.at.ns, self._fire_late, fault)

    def _fire_late(self, fault: Fault) -> None:
        if self._deeds is not None:
            self._fire(fault, fault, "")

    def _fire(self, named: Fault, fault: Fault, word: str) -> None:
        """named   as its trial has it       fault   with the nodes that it strikes
        word    of the message that it waited for, or ""
        """
        what = KINDS[fault.what]
        assert self._deeds is not None, "it is healed"
        if isinstance(what, Link):
            self._rules[fault.name].begin(fault)
            if fault.for_ns is not None and fault.hits is None:
                self._clock.call_at(self._clock.now() + fault.for_ns, self._end, named)
        elif what.do(fault, self._deeds):
            self.reached(fault, word, "")
        else:
            return
        self.is_hindered |= fault.what in HINDERING
        self._seen.num_fired += 1
        self._mark(fault, "begins")

    def _end(self, fault: Fault) -> None:
        rule = self._rules[fault.name]
        if rule.is_on:
            rule.is_on = False
            self._over_ns = self._clock.now()
            self._mark(fault, "ends")

    def wrong_until_ns(self) -> int:
        """Until when any link was not as it should be: now, where one is not."""
        if any(rule.is_on for rule in self._rules.values()):
            return self._clock.now()
        return max(self._over_ns, self.late_until_ns)

    def heal(self) -> None:
        """No fault any more; those that did not fire never will."""
        self._deeds = None
        self._by_kind.clear()
        for rule in self._rules.values():
            self._end(rule.fault)

    def _mark(self, fault: Fault, what: str) -> None:
        self._seen.marks.append((self._clock.now(), 0, fault.name, f"{fault.what} {what}"))

    # -- what is sent ------------------------------------------------------------------------------

    def judge(self, source: str, destination: str, message: Message[Any]) -> Verdict:
        word = message.kind
        if message.reply_to:
            word = word_of(word, self._calls.get((message.destination, message.reply_to), ""))
        else:
            self._calls[message.source, message.message_id] = word
        self.word = word
        self._kinds[word] += 1
        self._links[source, destination, word] += 1
        self.link_nth = self._links[source, destination, word]
        waiting = self._by_kind.get(word)
        if waiting:
            for fault in [f for f in waiting if f.at.nth <= self._kinds[word]]:
                waiting.remove(fault)
                self._fire(fault, fault.struck(source, destination), word)
        self._last[source] = word
        if self._deeds is not None:
            self._deeds.carries(source, destination, message.charged_bytes)
        return PASS

    def reached(self, fault: Fault, word: str, ends: str) -> None:
        """A fault met a message, or fired at one."""
        point = point_of(word)
        if point:
            cell = fault.what, point
            self._seen.cells[cell] = self._seen.cells.get(cell, 0) + 1
        self._seen.features.add(f"{fault.what}|{word}|{ends}")

    def hit(self, fault: Fault, source: str, destination: str, message: Message[Any]) -> None:
        hit = source, destination, self.word, self.link_nth
        self._seen.hits.setdefault(fault.name, []).append(hit)
        self.reached(fault, self.word, self._state(source, destination, message))

    def _state(self, source: str, destination: str, message: Message[Any]) -> str:
        """Of both ends, as far as it shows: what the receiver said last, and whether either is a
        later incarnation.
        """
        returned = int(message.source_epoch > 1) + 2 * int(message.destination_epoch > 1)
        return f"{self._last.get(destination, '')}|{returned}"


class LinkRule:
    """A fault as endpoints ask it about each message."""

    def __init__(self, injector: Injector, fault: Fault, link: Link, rng: Rng) -> None:
        self._injector, self.fault, self._link, self._rng = injector, fault, link, rng
        self.is_on = False
        self._hits = None if fault.hits is None else frozenset(fault.hits)
        self._verdict = link.verdict(fault)
        self._is_hit: Callable[[str, str, str, int], bool] = (
            self._by_chance if self._hits is None else self._by_list
        )

    def begin(self, fault: Fault) -> None:
        """fault   with the nodes that it strikes"""
        self.fault, self.is_on = fault, True

    def judge(self, source: str, destination: str, message: Message[Any]) -> Verdict:
        injector = self._injector
        if not self.is_on:
            return PASS
        if not self._is_hit(source, destination, injector.word, injector.link_nth):
            return PASS
        injector.hit(self.fault, source, destination, message)
        verdict = self._verdict
        if isinstance(verdict, Delay | Duplicate):
            until_ns = message.sent_ns + verdict.delay_ns
            injector.late_until_ns = max(injector.late_until_ns, until_ns)
        return verdict

    def _by_list(self, source: str, destination: str, word: str, nth: int) -> bool:
        assert self._hits is not None
        return (source, destination, word, nth) in self._hits

    def _by_chance(self, source: str, destination: str, word: str, nth: int) -> bool:
        fault = self.fault
        if fault.kind not in (ANYONE, word) or not is_between(fault, source, destination):
            return False
        if fault.chance >= 1:
            return True
        key = fault.name, source, destination, word, nth
        return self._rng.uniform(*key) < fault.chance
