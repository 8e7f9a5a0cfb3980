"""Between machines, which share no segment: each tells the others every now and then what has left
there since, and puts what it is told among what has left here.

What is told within the grace of links gets its place by its time. But an end that was told before
stays as it was told, so what is known of links that several machines use is estimated.
"""

from collections.abc import Mapping

import numpy as np

from workers.host.clock.base import Clock, Timer
from workers.wire.fabric.shared.links import SharedLinks
from workers.wire.fabric.shared.starts import ELSEWHERE, SharedWay, Start
from workers.wire.kinds.links import LinksTaken
from workers.wire.membership import Member, Membership
from workers.wire.notes import Notes
from workers.wire.peer import Peer


class Reports:
    """One process' part: whoever has sent something reports a period later for all of its machine.

    machine    of this process        peers   of its node, by node
    period_ns  emulated
    """

    def __init__(
        self,
        clock: Clock,
        links: SharedLinks,
        machine: str,
        period_ns: int,
        notes: Notes,
        peers: Mapping[str, Peer],
        members: Membership,
    ) -> None:
        self._clock, self._links, self._machine = clock, links, machine
        self._period_ns, self._notes, self._peers = period_ns, notes, peers
        self._elsewhere: dict[str, str] = {}  # node -> machine
        self._timer: Timer | None = None
        links.on_sent = self._sent
        notes.hear[LinksTaken] = self._heard
        members.on_join.append(self._joined)
        members.on_leave.append(self._left)

    @property
    def has_others(self) -> bool:
        """Whether there are other machines."""
        return bool(self._elsewhere)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _joined(self, member: Member) -> None:
        if member.machine != self._machine:
            self._elsewhere[member.node] = member.machine

    def _left(self, member: Member, reason: str) -> None:
        self._elsewhere.pop(member.node, None)

    def _sent(self) -> None:
        if self._timer is None and self._elsewhere:
            at_ns = self._clock.wall_now() + self._period_ns
            self._timer = self._clock.call_at(at_ns, self._report)

    def _report(self) -> None:
        """To one node of each other machine; another process may have done it meanwhile."""
        self._timer = None
        starts = self._links.unreported()
        if not starts:
            return
        numbers = {number: i for i, number in enumerate(dict.fromkeys(one.way for one in starts))}
        ways = [self._links.segment.way(number) for number in numbers]
        note = LinksTaken(
            [[list(way.names), list(way.rates), list(way.waits_ns)] for way in ways],
            np.array(
                [(s.at_ns, s.num_bytes, numbers[s.way], s.weight, s.rank) for s in starts],
                dtype=np.int64,
            ),
        )
        to = {machine: node for node, machine in sorted(self._elsewhere.items(), reverse=True)}
        for node in to.values():
            if node in self._peers:
                self._notes.tell(self._peers[node], note)

    def _heard(self, peer: Peer, note: LinksTaken) -> None:
        ways = [
            self._links.number_of(SharedWay(tuple(names), tuple(rates), tuple(waits_ns)))
            for names, rates, waits_ns in note.ways
        ]
        self._links.left_elsewhere(
            [
                Start(at_ns, ELSEWHERE, 0, num_bytes, ways[way], weight, rank)
                for at_ns, num_bytes, way, weight, rank in note.starts.tolist()
            ]
        )
