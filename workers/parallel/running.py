"""One rank's part of a step: its layers of all micro-batches, in order. Steps come one after
another, and while one stage has a step the one before it has the next:

    stage 0   A ▓▓▓▓  B ▓▓▓▓  A ▓▓▓▓  B ▓▓▓▓
    stage 1          A ▓▓▓▓  B ▓▓▓▓  A ▓▓▓▓      A, B: steps of other sequences, as many in flight
                                                 as there are stages
"""

from collections.abc import Sequence
from functools import partial
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from configs.schema.collectives import AllReduce as Algorithms
from workers.chip.batch import Batch, in_parts
from workers.chip.interpreter import Interpreter, Lane, Spent
from workers.chip.step import Item
from workers.collectives.member import Collectives
from workers.errors import from_body, to_body
from workers.experts.exchange import DispatchSide
from workers.experts.late import Lateness
from workers.experts.routing import RoutingTable
from workers.model.base import ChipModel
from workers.model.forward import as_it_is, forward, stage
from workers.model.program import Enter, Rows
from workers.node import Node
from workers.parallel.sums import SharedDispatch, StageSums
from workers.parallel.team import Team
from workers.wire.kinds.ranks import StageRows

Ids = NDArray[np.int64]


class Running:
    """Runs steps on a rank.

    num_batches   micro-batches of a step, which take turns
    all_reduce    how shares of sums travel
    switch        that adds them, where it is "in_network"
    late          when a share of experts is, and what then
    """

    def __init__(
        self,
        node: Node,
        model: ChipModel,
        exchange: DispatchSide,
        table: RoutingTable,
        team: Team,
        num_batches: Literal[1, 2] = 1,
        all_reduce: Algorithms = "auto",
        switch: str = "",
        late: Lateness | None = None,
    ) -> None:
        self._clock, self._model, self._table, self._team = node.clock, model, table, team
        self._num_batches = num_batches
        ranks = team.ranks
        self._part = ranks.parts[team.number]
        self._is_last = team.stage == ranks.num_stages - 1
        is_alone = len(team.peers) == 1
        self._next = None if self._is_last else ToNextStage(team)
        self._sums: StageSums | None = None
        if not is_alone:
            collectives = Collectives(node, team.port.worker)
            self._sums = StageSums(team, collectives, all_reduce, switch)
            exchange = SharedDispatch(exchange, team)
        self._interpreter = Interpreter(
            node,
            exchange,
            team.timeout_ns,
            reducer=self._sums,
            next_stage=self._next,
            late=late,
        )

    def batches(self, items: Sequence[Item], token_ids_T: Ids) -> list[Batch]:
        """Micro-batches that take turns."""
        batches, first = list[Batch](), 0
        for number, some in enumerate(in_parts(items, self._num_batches)):
            end = first + sum(item.count for item in some)
            batches.append(Batch(some, token_ids_T[first:end], number))
            first = end
        return batches

    async def run(self, step: int, batches: Sequence[Batch]) -> tuple[list[Lane], Spent]:
        """The step, which the team has begun. Raises what ended it, after all others were told."""
        if self._sums is not None:
            self._sums.begin(step)
        try:
            if (told := self._team.inbox.failure(step)) is not None:
                raise told
            return await self._run(batches)
        except Exception as error:
            why = self._team.inbox.failure(step)
            await self._team.give_up(step, why or error)
            if why is None:
                raise
            raise why from error  # what others have told goes before what came of it here
        finally:
            self._team.inbox.end(step)

    async def _run(self, batches: Sequence[Batch]) -> tuple[list[Lane], Spent]:
        spent, begun_ns = Spent(), self._clock.now()
        lanes = [self._lane(batch, await self._enter(batch)) for batch in batches]
        spent.wait_ns += self._clock.now() - begun_ns
        going = [lane for lane in lanes if not lane.batch.is_lost]
        await self._interpreter.run(going, self._table, spent)
        if self._next is not None:
            for lane in lanes:
                if lane.batch.is_lost:
                    await self._next.send(lane.batch, self._no_rows())
        return lanes, spent

    async def _enter(self, batch: Batch) -> Enter:
        """What comes into this rank's first layer."""
        if self._part.embeds:
            return partial(self._model.embed, batch.token_ids_T)
        team = self._team
        before = team.number - team.ranks.tensor
        timeouts = team.stage + 1  # each stage before this one may wait in vain for a shard
        told: StageRows = await team.hear(StageRows, batch.number, before, timeouts)
        batch.fail({seq_id: from_body(error) for seq_id, error in told.failed.items()})
        batch.approximated.update(told.approximate)
        return partial(as_it_is, told.rows)

    def _lane(self, batch: Batch, enter: Enter) -> Lane:
        run = forward if self._is_last else stage
        return Lane(batch, run(self._model, enter, batch.layout, self._part.layers))

    def _no_rows(self) -> Rows:
        return np.empty((0, self._model.config.hidden), dtype=np.float32)


class ToNextStage:
    """A `NextStage`: the rank of the same number in the stage after this one."""

    def __init__(self, team: Team) -> None:
        self._team = team

    async def send(self, batch: Batch, rows_T: Rows) -> None:
        team = self._team
        failed = {seq_id: to_body(error) for seq_id, error in batch.failures.items()}
        content = StageRows(
            team.inbox.step, batch.number, rows_T, failed, batch.cause,
            tuple(sorted(batch.approximated)),
        )  # fmt: skip
        await team.say(team.number + team.ranks.tensor, content)
