"""Who answers for a shard: itself, or one that stands by for it while it is gone.

A spare holds the experts of all shards of its group, and computes what it is asked; so chips need
not agree on who stands in for whom. Tables of experts stay as they are: a shard keeps its name and
its place in the order in which sums merge, so the bits are those of the shard itself. When the next
incarnation of a shard joins, it is asked again.
"""

from collections.abc import Mapping, Sequence

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

    def lives(self, worker: str) -> bool:
        """Whether its node does, as far as this one knows."""
        node = self._members.node_of(worker)
        return node is not None and self._members.member(node) is not None
