"""What a chip has beside others where chips of its cluster have several ranks, or keep KV in other
forms.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from workers.chip.sequence import Sequence
from workers.errors import PerfuseError
from workers.kv.crossing import Forms, alike
from workers.kv.parts import KvParts
from workers.model.base import ChipModel, RankModel
from workers.parallel.leader import Leader
from workers.wire.kinds.chip import Reserved


@dataclass(frozen=True, slots=True)
class Split:
    """Nothing, where no chip has several ranks and all are alike.

    model    its own part        leader   of its ranks; None where there are no others
    parts    the way of its KV to the ranks of other chips
    forms    how chips keep KV
    """

    model: RankModel | None = None
    parts: KvParts | None = None
    leader: Leader | None = None
    forms: Forms | None = None

    def forms_of(self, model: ChipModel) -> Forms:
        """How chips keep KV: where nothing is said, as this one's model."""
        return self.forms or alike(model)

    def follow(self, on_lost: Callable[[PerfuseError], None]) -> None:
        """`on_lost` is told when a rank is gone, and with it a part of all KV."""
        if self.leader is not None:
            self.leader.on_lost = on_lost

    def check(self) -> None:
        """Raises PeerDead where a rank is gone."""
        if self.leader is not None:
            self.leader.check()

    def reserved(
        self, seq: Sequence, answer: Reserved, forget: Callable[[str], bool]
    ) -> Reserved | Awaitable[Reserved]:
        """The answer, as soon as all ranks await the sequence's KV."""
        if self.leader is None or not answer.room:
            return answer
        return self._expected(self.leader, seq, answer, forget)

    async def _expected(
        self, leader: Leader, seq: Sequence, answer: Reserved, forget: Callable[[str], bool]
    ) -> Reserved:
        try:
            await leader.expect(seq)
        except PerfuseError:
            forget(seq.seq_id)
            raise
        return answer

    def ended(self, seq_id: str) -> None:
        """The sequence is gone."""
        if self.leader is not None:
            self.leader.ended(seq_id)

    async def rest(self) -> None:
        """There is nothing to run."""
        if self.leader is not None:
            await self.leader.rest()
