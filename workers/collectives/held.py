"""What one member of a collective holds: terms of chunks, one a rank, and sums over all ranks.

A sum of floats depends on the order in which it is added, so nothing is added before all terms are
together, and then in the order of the ranks: the bits are those of `numerics.total`, whatever the
algorithm and the degree. What a member carries of a chunk is thus at most a term of each rank.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from workers.errors import CorruptMessage
from workers.model.numerics import Numerics, total
from workers.wire.roles import Array

SUM = "sum"


@dataclass(slots=True)
class Held:
    """terms      chunk -> rank -> what that rank has of it, 1-D
    num_bytes  chunk -> what a link is charged for it
    sums       chunk -> the sum over all ranks
    """

    numerics: Numerics
    num_ranks: int
    terms: dict[int, dict[int, Array]] = field(default_factory=dict)
    num_bytes: dict[int, int] = field(default_factory=dict)
    sums: dict[int, Array] = field(default_factory=dict)

    def put(self, chunk: int, rank: int, term: Array, num_bytes: int) -> None:
        """A rank's own."""
        self.terms.setdefault(chunk, {})[rank] = term
        self.num_bytes[chunk] = num_bytes

    def carried(
        self, chunks: Sequence[int], summed: bool, without: int | None = None
    ) -> dict[str, Array]:
        """All of these chunks, by names: `<chunk>.<rank>`, or `<chunk>.sum`.

        without   a rank whose terms stay here
        """
        if summed:
            return {f"{chunk}.{SUM}": self.sum(chunk) for chunk in chunks}
        return {
            f"{chunk}.{rank}": term
            for chunk in chunks
            for rank, term in self.terms[chunk].items()
            if rank != without
        }

    def sum(self, chunk: int) -> Array:
        """Over all ranks, in their order. Raises CorruptMessage where terms are not of one size."""
        known = self.sums.get(chunk)
        if known is not None:
            return known
        terms = [self.terms[chunk][rank] for rank in range(self.num_ranks)]
        sizes = {term.size for term in terms}
        if len(sizes) > 1:
            told = ", ".join(f"rank {r} {t.size}" for r, t in enumerate(terms))
            raise CorruptMessage(f"shares differ in size: of chunk {chunk} has {told} entries")
        made = self.sums[chunk] = total(self.numerics, terms)
        return made

    def added_bytes(self, chunks: Sequence[int], summed: bool, num_bytes: Sequence[int]) -> int:
        """Of terms that somebody else has carried, what is added to terms that are here."""
        if summed:
            return 0
        pairs = zip(chunks, num_bytes, strict=False)
        return sum(size for chunk, size in pairs if self.terms.get(chunk))

    def take(
        self,
        chunks: Sequence[int],
        summed: bool,
        num_bytes: Sequence[int],
        held: Mapping[str, Array],
    ) -> None:
        """What somebody else has carried. Raises CorruptMessage where it is not what it must be."""
        if len(num_bytes) != len(chunks):
            raise CorruptMessage(f"{len(num_bytes)} sizes were sent for {len(chunks)} chunks")
        self.num_bytes.update(zip(chunks, num_bytes, strict=True))
        wanted = frozenset(chunks)
        for name, array in held.items():
            chunk, rank = _parsed(name)
            if chunk not in wanted or (rank is None) is not summed:
                raise CorruptMessage(f"{name!r} was sent, and no such thing was to come")
            if rank is None:
                self.sums[chunk] = array
            elif 0 <= rank < self.num_ranks:
                self.terms.setdefault(chunk, {})[rank] = array
            else:
                raise CorruptMessage(f"{name!r} is of none of {self.num_ranks} ranks")


def _parsed(name: str) -> tuple[int, int | None]:
    chunk, _, rank = name.partition(".")
    try:
        return int(chunk), None if rank == SUM else int(rank)
    except ValueError as error:
        raise CorruptMessage(f"{name!r} names no chunk and rank") from error
