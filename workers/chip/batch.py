"""Some sequences of a step as arrays, fixed before they run: a micro-batch.

Letters: T tokens of the batch, R rows wanted, K experts a token.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from itertools import accumulate, pairwise
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from workers.chip.scheduler import Item
from workers.errors import NotFinite, PeerDead, PerfuseError
from workers.experts.routing import NOBODY
from workers.experts.tokens import Missing, Tokens, request_number
from workers.hardware.energy.phase import Cause, Phase, together
from workers.model.base import StepLayout, StepSequence
from workers.model.program import Experts

NONE = np.empty(0, dtype=np.intp)


class Batch:
    """Sequences may be preempted or aborted while it runs; it does not see that.

    failures   seq_id -> why it cannot go on: one of its tokens lacks a contribution, or is not
               finite
    approximated   seq_ids with a row of which a share was replaced; num_replaced: rows, by layer
    """

    def __init__(
        self,
        items: Sequence[Item],
        token_ids_T: NDArray[np.int64] | None = None,
        number: int = 0,
    ) -> None:
        """token_ids_T   where the sequences do not have them; number: of this one in its step"""
        self.items, self.number = tuple(items), number
        self.layout = StepLayout(
            tuple(
                StepSequence(tuple(i.seq.block_ids), i.start, i.count, i.seq.num_far) for i in items
            )
        )
        if token_ids_T is None:
            ids = [i.seq.token_ids[i.start : i.start + i.count] for i in items]
            token_ids_T = np.array([token for run in ids for token in run], dtype=np.int64)
        self.token_ids_T = token_ids_T
        self.failures: dict[str, PerfuseError] = {}
        self.approximated: set[str] = set()
        self.num_replaced = 0

    @cached_property
    def cause(self) -> Cause:
        """What its energy is spent for: tokens of a prompt are prefill, others decode, computed
        again or not.
        """
        return together(part for item in self.items for part in _parts(item))

    @property
    def is_lost(self) -> bool:
        """Nobody is left who could use what it computes."""
        return len(self.failures) == len(self.items)

    @property
    def sampled(self) -> list[Item]:
        """Whose next token is to be chosen."""
        return [i for i in self.items if i.samples and i.seq.seq_id not in self.failures]

    @property
    def last_rows(self) -> NDArray[np.int64]:
        """The last row of each of `sampled`."""
        wanted = [i.samples and i.seq.seq_id not in self.failures for i in self.items]
        return (self._ends[wanted] - 1).astype(np.int64)

    @cached_property
    def positions(self) -> NDArray[np.int64]:
        return np.concatenate([np.arange(i.start, i.start + i.count) for i in self.items])

    @cached_property
    def requests(self) -> NDArray[np.uint64]:
        """`request_number` of each row's sequence."""
        numbers = [request_number(i.seq.seq_id) for i in self.items]
        return np.repeat(np.array(numbers, dtype=np.uint64), [i.count for i in self.items])

    @cached_property
    def _ends(self) -> NDArray[np.intp]:
        """One past the last row of each item."""
        return np.cumsum([i.count for i in self.items])

    def tokens(self, op: Experts) -> Tokens:
        """What a layer dispatches. Rows of sequences that failed ask nobody any more."""
        experts_TK = op.experts_TK
        if self.failures:
            failed = [i.seq.seq_id in self.failures for i in self.items]
            counts = [i.count for i in self.items]
            experts_TK = np.where(np.repeat(failed, counts)[:, None], np.int32(NOBODY), experts_TK)
        return Tokens(
            op.layer,
            self.items[0].seq.seq_id,
            self.requests,
            self.positions,
            op.rows_T,
            experts_TK,
            op.weights_TK,
            self.cause,
        )

    def lack(self, missing: Sequence[Missing]) -> None:
        """Fail the sequences that some rows belong to; the first reason stands."""
        for one in missing:
            for item in self._items_of(one.rows):
                self.failures.setdefault(item.seq.seq_id, one.error)

    def lack_experts(self, missing: Sequence[Missing]) -> None:
        """`lack`, where these are shards' parts: of one that is gone the reason says whose experts
        nobody had, so that whoever would try again may know better.
        """
        for one in missing:
            error = one.error
            if isinstance(error, PeerDead):
                error = PeerDead(error.message, **{**error.facts, "experts_of": one.shard})
            self.lack([replace(one, error=error)])

    def approximate(self, rows: NDArray[np.intp]) -> None:
        """A share of each of these rows was replaced."""
        self.num_replaced += len(rows)
        self.approximated.update(item.seq.seq_id for item in self._items_of(rows))

    def fail(self, errors: Mapping[str, PerfuseError]) -> None:
        """Fail those of the sequences that are among these."""
        if errors:
            ours = {item.seq.seq_id for item in self.items}
            self.failures.update((k, errors[k]) for k in errors if k in ours)

    def check_hidden(self, hidden_TH: NDArray[Any]) -> None:
        """Fail the sequences that have a row of NaN or infinity: of all rows, not of sampled ones
        alone, for KV that was computed from such a row must be found by nobody.

        What a residual stream has met once it keeps, so the last hidden states tell for all layers.
        """
        for item in self._items_of(_not_finite(hidden_TH)):
            end = item.start + item.count
            self._spoilt(item, f"hidden states of tokens {item.start} to {end - 1}")

    def finite_logits(self, logits_RV: NDArray[np.float32]) -> NDArray[np.float32]:
        """The rows of `sampled` that a token follows from; the sequences of all others fail."""
        rows = _not_finite(logits_RV)
        if not rows.size:
            return logits_RV
        sampled = self.sampled
        for row in rows.tolist():
            item = sampled[row]
            self._spoilt(item, f"logits after token {item.start + item.count - 1}")
        return np.delete(logits_RV, rows, axis=0)

    def _spoilt(self, item: Item, what: str) -> None:
        error = NotFinite(
            f"{what} hold NaN or infinity and must be finite: the model's weights, or keys and "
            "values in its cache, are not"
        )
        self.failures.setdefault(item.seq.seq_id, error)

    def _items_of(self, rows: NDArray[np.intp]) -> list[Item]:
        """Whose rows these are, each item once."""
        if not rows.size:
            return []
        indices = np.unique(np.searchsorted(self._ends, rows, side="right"))
        return [self.items[index] for index in indices.tolist()]


def _parts(item: Item) -> tuple[tuple[Phase, int], tuple[Phase, int]]:
    num_prompt = min(item.count, max(0, item.seq.num_prompt - item.start))
    return (Phase.PREFILL, num_prompt), (Phase.DECODE, item.count - num_prompt)


def _not_finite(rows: NDArray[Any]) -> NDArray[np.intp]:
    """Which rows hold a NaN or an infinity."""
    finite = np.isfinite(rows)
    # Nearly always all of them are: one pass over bytes then says so.
    return NONE if finite.all() else np.flatnonzero(~finite.all(axis=1))


def micro_batches(items: Sequence[Item], count: Literal[1, 2]) -> list[Batch]:
    """One batch, or two of whole sequences in order, with tokens as equal as that allows.

    A single sequence stays one.
    """
    return [Batch(part) for part in in_parts(items, count)]


def in_parts(items: Sequence[Item], count: int) -> list[Sequence[Item]]:
    """`count` parts of whole sequences in order, with tokens as equal as that allows; fewer where
    there are no more sequences. None is empty.
    """
    count = min(count, len(items))
    ends = list(accumulate(item.count for item in items))
    cuts = [0]
    for number in range(1, count):
        choice = range(cuts[-1] + 1, len(items) - (count - number) + 1)
        cuts.append(min(choice, key=partial(_off, ends, number, count)))
    return [items[begin:end] for begin, end in pairwise((*cuts, len(items)))]


def _off(ends: Sequence[int], number: int, count: int, first: int) -> int:
    """How far the tokens before item `first` are from `number` parts of `count`."""
    return abs(number * ends[-1] - count * ends[first - 1])
