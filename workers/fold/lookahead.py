"""What a folded chip knows of steps to come, and the blocks that it holds for them."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from workers.chip import batching
from workers.chip.job import Job
from workers.chip.scheduler import Item, Scheduler, Step
from workers.chip.sequence import Sequence as TokenSequence
from workers.chip.sequence import State
from workers.fold.ahead import Ahead
from workers.fold.costs import Cost
from workers.fold.fold import Member
from workers.fold.stretch import Stretch
from workers.fold.values import Row
from workers.hardware.energy.phase import Phase
from workers.model.sampling_params import SamplingParams

# As far ahead as there are blocks to spare, but for fewer steps none are held.
DEPTH_MIN = 8


class Lookahead:
    """stretch   of decode steps that is under way"""

    def __init__(
        self, member: Member, scheduler: Scheduler, jobs: Mapping[str, Job], eos: tuple[int, ...]
    ) -> None:
        self._member, self._scheduler, self._jobs, self._eos = member, scheduler, jobs, eos
        self._known: dict[str, Ahead] = {}
        self.stretch: Stretch | None = None
        self._is_supplied = False  # beyond the stretch that is under way

    def steps_of(self, step: Step) -> tuple[list[Cost], list[tuple[int, ...]], NDArray[np.int32]]:
        """As many decode steps of this batch as are known of all its sequences, one at least: what
        each costs, its tokens, and experts [steps, X, T, K].
        """
        if self._member.fold.alone:
            self._known.clear()  # experts hang on the whole batch
        if not all(self._of(item).left(item.start) for item in step.items):
            self._member.fold.look_ahead(self)
        self._is_supplied = False
        known = [(self._of(item), item.start) for item in step.items]
        steps = min(ahead.left(at) for ahead, at in known)
        tokens = list(zip(*(ahead.tokens_from(at, steps) for ahead, at in known), strict=True))
        experts = np.stack([ahead.experts(at, steps) for ahead, at in known], axis=2)
        costs = self._member.costs.following([at for _, at in known], steps, Phase.DECODE)
        return costs, tokens, experts

    def passed(self, seq: TokenSequence) -> None:
        """Steps before its next one are over."""
        if (ahead := self._known.get(seq.seq_id)) is not None:
            ahead.forget(seq.num_computed)

    def drop(self, seq_id: str) -> None:
        """It is gone."""
        self._known.pop(seq_id, None)

    # -- see `workers.fold.fold.Looking` -----------------------------------------------------------

    def wants(self, depth: int, *, asks: bool) -> Sequence[tuple[Ahead, Row]]:
        step, stretch = next(iter(self._scheduler.roster.steps), None), self.stretch
        if step is None:
            return ()
        if not asks and (stretch is None or self._is_supplied or not stretch.is_half_over):
            return ()
        self._is_supplied = not asks
        under_way = 0 if stretch is None else stretch.num_steps - stretch.num_taken
        return list(self._wanted(step, under_way, depth))

    def _wanted(self, step: Step, under_way: int, depth: int) -> Iterator[tuple[Ahead, Row]]:
        roster, blocks = self._scheduler.roster, self._scheduler.blocks
        spare = (blocks.num_free - self._scarce) // len(step.items)
        while depth > DEPTH_MIN and blocks.blocks_for(under_way + depth) > spare:
            depth //= 2
        if blocks.blocks_for(under_way + depth) <= spare:
            batching.hold_ahead(roster, step, under_way + depth)
        for item in step.items:
            seq = item.seq
            if seq.state is not State.RUNNING or seq.seq_id not in self._jobs:
                continue  # it is gone
            ahead = self._of(item)
            lacking = under_way + depth - ahead.left(item.start)
            last = seq.num_prompt + seq.max_tokens - 1, roster.max_tokens - 1
            room = len(seq.block_ids) * blocks.block_size
            steps = min(lacking, min(*last, room) - ahead.end)
            if steps > 0 and not ahead.ends:
                yield ahead, self._row(ahead, steps)

    def _of(self, item: Item) -> Ahead:
        seq = item.seq
        ahead = self._known.get(seq.seq_id)
        if ahead is None or not self._is_good(ahead, item):
            ahead = self._known[seq.seq_id] = Ahead(seq, item.start)
        return ahead

    def _is_good(self, ahead: Ahead, item: Item) -> bool:
        return ahead.seq is item.seq and ahead.start <= item.start <= ahead.end and ahead.holds()

    def _row(self, ahead: Ahead, steps: int) -> Row:
        first = self._member.first_block
        blocks = [first + block_id for block_id in ahead.seq.block_ids]
        return Row(ahead.seq, blocks, ahead.end, ahead.last_token, steps)

    def found(self, ahead: Ahead, tokens: NDArray[np.int64], experts: NDArray[np.int32]) -> None:
        ids, job = tokens.tolist(), self._jobs.get(ahead.seq.seq_id)
        last = len(ids) if job is None else _first_of(ids, self._ends(job.sampling))
        ahead.add(ids[: last + 1], experts[: last + 1], ends=last < len(ids))

    def _ends(self, sampling: SamplingParams) -> frozenset[int]:
        """Tokens behind which nothing comes."""
        return frozenset(sampling.stop_token_ids).union(self._eos if sampling.may_end else ())

    # -- room --------------------------------------------------------------------------------------

    @property
    def _scarce(self) -> int:
        """With so many free blocks nobody needs those that are held ahead."""
        roster, blocks = self._scheduler.roster, self._scheduler.blocks
        return blocks.blocks_for(roster.max_tokens) + len(roster.running)

    def make_room(self) -> None:
        """Give blocks back where somebody may need them."""
        if self._scheduler.blocks.num_free < self._scarce:
            num_freed = batching.give_back(self._scheduler.roster)
            if num_freed and self.stretch is not None:
                self._member.cut()  # steps beyond the one under way have no blocks now


def _first_of(ids: Sequence[int], wanted: frozenset[int]) -> int:
    """Where the first of these is; behind the last where none is."""
    if not wanted:
        return len(ids)
    return next((place for place, token in enumerate(ids) if token in wanted), len(ids))
