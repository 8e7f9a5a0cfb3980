"""What passes between ranks that hold slices of the same keys: queries to all of them, and to each
what was found for its own (`workers.model.sliced`).
"""

from workers.chip.batch import Batch
from workers.collectives.collective import Collective
from workers.collectives.member import Collectives
from workers.collectives.operations import all_gather, all_to_all
from workers.model.program import Gather, Swap
from workers.parallel.sums import SUMS_BITS
from workers.parallel.team import Team


class SliceTrades:
    """The way to the ranks of a stage that hold slices of the same keys. Steps are counted as
    `StageSums` does.
    """

    def __init__(self, team: Team, collectives: Collectives) -> None:
        ranks, sharers = team.ranks, team.ranks.sharers(team.number)
        name = f"{ranks.names[ranks.leader]} slices {sharers.start}"
        members = tuple(ranks.names[rank] for rank in sharers)
        self._group = collectives.join(name, members, team.timeout_ns)
        team.on_step_failed.append(self.give_up)

    def begin(self, step: int) -> None:
        self._group.restart(step << SUMS_BITS)

    def give_up(self) -> None:
        """Whoever waits for others of this step waits no longer."""
        self._group.restart(self._group.next_number)

    async def send(self, batch: Batch, op: Gather | Swap) -> Collective:
        """Straight to each: a rank tells no two others the same of what was found."""
        if isinstance(op, Gather):
            return await all_gather(self._group, "direct", op.rows_TND, op.num_bytes, batch.cause)
        sizes = [op.num_bytes] * len(op.rows_TND)
        return await all_to_all(self._group, "direct", op.rows_TND, sizes, batch.cause)
