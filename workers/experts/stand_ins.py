"""Who answers for a shard: itself, or one that stands by for it while it is gone.

A spare holds the experts of all shards of its group, and computes what it is asked; so chips need
not agree on who stands in for whom. Tables of experts stay as they are: a shard keeps its name and
its place in the order in which sums merge, so the bits are those of the shard itself. When the next
incarnation of a shard joins, it is asked again.
"""

from collections.abc import Mapping, Sequence

from workers.experts.routing import RoutingTable
from workers.wire.membership import Membership


class StandIns:
    """See above. `has_any`: whether any shard has one.

    spares   shard -> workers that stand by for it; a shard that has none is left out"""

    def __init__(
        self, members: Membership, spares: Mapping[str, Sequence[str]] | None = None
    ) -> None:
        self._members, self._spares = members, spares or {}
        self._places = {shard: place for place, shard in enumerate(self._spares)}
        self.num_asked = 0  # of spares, so far
        self._known: tuple[RoutingTable, RoutingTable] | None = None  # and what lives of it
        self._without: dict[str, tuple[RoutingTable, RoutingTable]] = {}  # shard -> the same
        self.silent: dict[str, None] = {}  # workers of which nothing is heard
        members.on_join.append(lambda member: self._changed(member.node))
        members.on_leave.append(lambda member, _: self._changed(member.node))

    @property
    def has_any(self) -> bool:
        return bool(self._spares)

    def of(self, shard: str) -> str:
        """Who is to be asked now: the shard, also where nobody lives who could stand in. Shards
        take living spares in turns, by their places.
        """
        spares = self._spares.get(shard)
        if spares is None or self.lives(shard):
            return shard
        living = [spare for spare in spares if self.lives(spare)]
        if not living:
            return shard
        self.num_asked += 1
        return living[self._places[shard] % len(living)]

    def other(self, shard: str, asked: str) -> str | None:
        """Who could answer for a shard beside a worker that is asked; None: nobody lives."""
        spares = self._spares.get(shard, ())
        turn = self._places[shard] % len(spares) if spares else 0
        others = (shard, *spares[turn:], *spares[:turn])
        return next((one for one in others if one != asked and self.lives(one)), None)

    def living(self, table: RoutingTable) -> RoutingTable:
        """The same without copies on shards that are gone, and that nobody stands in for, of
        experts that have others.
        """
        if table.copies is None:
            return table
        if self._known is None or self._known[0] is not table:
            gone = [i for i, shard in enumerate(table.shards) if not self.answers(shard)]
            self._known = table, table.without(gone)
        return self._known[1]

    def without(self, table: RoutingTable, shard: str) -> RoutingTable:
        """What lives of it, and no copy on this shard either of experts that have others."""
        known = self._without.get(shard)
        if known is None or known[0] is not table:
            gone = [i for i, s in enumerate(table.shards) if s == shard or not self.answers(s)]
            known = self._without[shard] = table, table.without(gone)
        return known[1]

    def answers(self, shard: str) -> bool:
        """It lives, or somebody who stands by for it."""
        return any(self.lives(one) for one in (shard, *self._spares.get(shard, ())))

    def fell_silent(self, worker: str) -> None:
        """It is as good as gone, until it is heard."""
        self.silent[worker] = None
        self._changed()

    def was_heard(self, worker: str) -> None:
        if worker in self.silent:
            del self.silent[worker]
            self._changed()

    def _changed(self, node: str | None = None) -> None:
        """Whoever was silent on a node that came or went is another one, or none."""
        self._known = None
        self._without.clear()
        for worker in [one for one in self.silent if self._members.node_of(one) == node]:
            del self.silent[worker]

    def lives(self, worker: str) -> bool:
        """Whether its node does, and is not silent, as far as this one knows."""
        node = self._members.node_of(worker)
        is_there = node is not None and self._members.member(node) is not None
        return is_there and worker not in self.silent

    def incarnation(self, worker: str) -> int | None:
        """The epoch of its node, where that lives."""
        node = self._members.node_of(worker)
        member = None if node is None else self._members.member(node)
        return None if member is None else member.epoch
