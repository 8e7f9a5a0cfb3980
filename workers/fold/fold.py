"""All chips and shards whose steps are computed as one.

chip ── begin ──▶ engine          ┌─ clock: before I jump to 900, what happens?
chip ◀── tell ─── ended steps ◀───┘  engine: a stretch of chip 7 ended at 850
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from workers.chip.batch import Batch
from workers.fold.accounts import Tab
from workers.fold.ahead import Ahead
from workers.fold.beside import Beside
from workers.fold.costs import Cost, Costs
from workers.fold.engine import Engine
from workers.fold.shards import Shards
from workers.fold.stretch import Stretch
from workers.fold.values import Row, Values
from workers.host.clock.virtual import VirtualClock
from workers.model.base import LaunchModel
from workers.model.program import Hidden
from workers.node import Node


class Looking(Protocol):
    """A chip of the fold, asked what it will compute next."""

    def wants(self, depth: int, *, asks: bool) -> Sequence[tuple[Ahead, Row]]:
        """Sequences of which less is known than `depth` steps beyond what is under way; `asks`: it
        is the one that begins a stretch.
        """
        ...

    def found(self, ahead: Ahead, tokens: NDArray[np.int64], experts: NDArray[np.int32]) -> None:
        """What was computed of one: [steps], [steps, X, K]."""
        ...


class Fold:
    """Of one cluster.

    values       what steps compute with        shards   what the engine has done so far, told
    tells_each   what a step sampled is told when it ends; else with its whole stretch
    """

    def __init__(
        self,
        clock: VirtualClock,
        engine: Engine,
        values: Values,
        shards: Shards,
        *,
        tells_each: bool,
    ) -> None:
        self._clock, self._engine, self._values, self.shards = clock, engine, values, shards
        self._tells_each = tells_each
        self.members: list[Member] = []
        self._told: list[Stretch] = []
        clock.ahead = self

    def join(self, node: Node, model: LaunchModel, costs: Costs, first_block: int) -> "Member":
        """The next chip."""
        number = len(self.members)
        beside = Beside(self._engine, number, node.hardware, node.endpoint)
        member = Member(self, number, node, model, costs, first_block, beside)
        self.members.append(member)
        self.shards.chips.append(node)
        node.before_reading = member.settle
        return member

    # -- the clock's side --------------------------------------------------------------------------

    def go_on(self, until_ns: int | None) -> int | None:
        next_ns = self._engine.next_ns()
        if next_ns is None or (until_ns is not None and next_ns > until_ns):
            return None
        for ended in self._engine.advance(until_ns, self._tells_each):
            member = self.members[ended.chip]
            stretch = member.stretch
            assert stretch is not None, "a step of nobody ended"
            cost = stretch.add(ended)
            begin_ns = ended.end_ns - ended.compute_ns - ended.wait_ns
            member.tab.note(cost, begin_ns, ended.end_ns, member.beside.counted())
            if self.shards.note(cost.cause, cost.num_tokens):
                self._settle()
            if ended.is_last:
                member.stretch = None
            if ended.is_last or self._tells_each:
                self._told.append(stretch)
        return self._engine.now_ns if self._told else None

    def _settle(self) -> None:
        for member in self.members:
            member.tab.settle()
        self.shards.settle()

    def tell(self) -> None:
        told, self._told = self._told, []
        for stretch in told:
            stretch.tell()

    # -- the chips' side ---------------------------------------------------------------------------

    def begin(self, member: "Member", costs: Sequence[Cost], experts: NDArray[np.int32]) -> None:
        now_ns = self._clock.now()
        launches_ns = np.stack([cost.launches_ns for cost in costs])
        member.beside.begin(costs, now_ns)
        choices = self._values.choices(member.number, member.num_begun, experts)
        self._engine.begin(member.number, now_ns, launches_ns, choices)
        member.num_begun += len(costs)

    def cut(self, number: int) -> None:
        self._engine.cut(number)

    @property
    def alone(self) -> bool:
        """See `Values`."""
        return self._values.alone

    def step(self, model: LaunchModel, batch: Batch) -> tuple[Hidden, NDArray[np.int32]]:
        """A step's last hidden states, and its experts [1, X, T, K]."""
        return self._values.step(model, batch)

    def look_ahead(self, asking: Looking) -> None:
        """Some steps of all chips that will want them soon, but at least of who asks."""
        found = list(asking.wants(self._values.depth, asks=True))
        owners = [asking] * len(found)
        if not self._values.alone:
            for member in self.members:
                if member.looking is not None and member.looking is not asking:
                    more = member.looking.wants(self._values.depth, asks=False)
                    found += more
                    owners += [member.looking] * len(more)
        if not found:
            return
        tokens, experts = self._values.ahead([row for _, row in found])
        for place, (owner, (ahead, row)) in enumerate(zip(owners, found, strict=True)):
            steps = row.steps
            owner.found(ahead, tokens[:steps, place], experts[:steps, :, place])


class Member:
    """A chip's place in a fold.

    first_block   of its KV blocks, among those of all        looking   the chip itself
    beside        what else its machine and its link do
    """

    def __init__(
        self,
        fold: Fold,
        number: int,
        node: Node,
        model: LaunchModel,
        costs: Costs,
        first_block: int,
        beside: Beside,
    ) -> None:
        self.fold, self.number, self.node, self.model = fold, number, node, model
        self.costs, self.first_block, self.beside = costs, first_block, beside
        self.tab = Tab(node.hardware)
        self.stretch: Stretch | None = None
        self.looking: Looking | None = None
        self.num_begun = 0  # steps, cut ones among them

    def begin(self, stretch: Stretch, experts: NDArray[np.int32]) -> None:
        """experts: [steps, X, T, K]"""
        self.fold.begin(self, stretch.costs, experts)
        self.stretch = stretch

    def settle(self) -> None:
        """Its machine and its link know all that is over."""
        self.tab.settle()
        self.fold.shards.settle()

    def cut(self) -> None:
        """It ends with the step that is under way."""
        self.fold.cut(self.number)
