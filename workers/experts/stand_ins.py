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
        members.on_join.append(lambda _: self._changed())
        members.on_leave.append(lambda _, __: self._changed())

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

    def living(self, table: RoutingTable) -> RoutingTable:
        """The same without copies on shards that are gone, and that nobody stands in for, of
        experts that have others.
        """
        if table.copies is None:
            return table
        if self._known is None or self._known[0] is not table:
            gone = [i for i, shard in enumerate(table.shards) if not self._answers(shard)]
            self._known = table, table.without(gone)
        return self._known[1]

    def _answers(self, shard: str) -> bool:
        return any(self.lives(one) for one in (shard, *self._spares.get(shard, ())))

    def _changed(self) -> None:
        self._known = None

    def lives(self, worker: str) -> bool:
        """Whether its node does, as far as this one knows."""
        node = self._members.node_of(worker)
        return node is not None and self._members.member(node) is not None
