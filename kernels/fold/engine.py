"""The native engine: `fold.h` says how it works, `plain.py` what it does."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernels.fold.checks import Group
from kernels.fold.terms import (
    Chosen,
    Counts,
    Drawn,
    EndCounts,
    Ended,
    Link,
    Terms,
    Times,
    UnderWay,
)
from kernels.native import lib

# Whether there is a library, and one that has this op.
available = hasattr(lib, "fold_create")
_SEED_BITS = 1 << 64


def _longs(*values: int) -> Times:
    return np.array(values, dtype=np.int64)


def _of_link(link: Link) -> tuple[int, int, int]:
    return link.bytes_per_s, link.latency_ns, link.startup_ns


class FoldEngine:
    """See `kernels.fold`."""

    def __init__(
        self,
        num_chips: int,
        owners_E: Sequence[int] | NDArray[Any],
        terms: Terms,
        exchanges: int,
        slow_S: Sequence[float] | None = None,
        num_shards: int | None = None,
    ) -> None:
        assert available, "whoever asks for this has looked whether it is there"
        self.group = group = Group.of(num_chips, owners_E, terms, exchanges, slow_S, num_shards)
        computes = terms.computes
        rates = [term.rate_per_s for term in computes]
        self._stored = lib.fold_create(
            num_chips,
            group.num_shards,
            exchanges,
            group.owners_E.astype(np.int64),
            _longs(*_of_link(terms.chip_link), *_of_link(terms.shard_link)),
            _longs(*terms.dispatch, *terms.combine),
            terms.overhead_ns,
            _longs(*terms.reads_ns),
            _longs(*(term.of == "rows" for term in computes)),
            _longs(*(term.amount for term in computes)),
            _longs(*(rate if isinstance(rate, int) else 0 for rate in rates)),
            np.array(rates, dtype=np.float64),
            np.array(group.slow_S, dtype=np.float64),
        )

    def add_pool(self, experts_XPK: NDArray[np.int32]) -> int:
        return int(lib.fold_pool(self._stored, experts_XPK))

    def begin(self, chip: int, start_ns: int, launches_ns: Times, choices: Chosen | Drawn) -> None:
        stretch = self._stored, chip, start_ns, launches_ns
        if isinstance(choices, Chosen):
            lib.fold_begin(*stretch, choices.experts)
            return
        seed = choices.seed % _SEED_BITS
        if seed >= _SEED_BITS // 2:
            seed -= _SEED_BITS
        lib.fold_begin_drawn(*stretch, choices.pool, choices.tokens, seed, choices.first_step)

    def cut(self, chip: int) -> None:
        lib.fold_cut(self._stored, chip)

    def under_way(self, chip: int, now_ns: int) -> UnderWay | None:
        found = np.empty(5, dtype=np.int64)
        if not lib.fold_under_way(self._stored, chip, now_ns, found):
            return None
        is_launching, *rest = found.tolist()
        return UnderWay(bool(is_launching), *rest)

    def hold(self, chip: int, now_ns: int, until_ns: int, slow: float) -> None:
        lib.fold_hold(self._stored, chip, now_ns, until_ns, np.array([slow]))

    def lengthen(self, chip: int, now_ns: int, by_ns: int) -> None:
        lib.fold_lengthen(self._stored, chip, now_ns, by_ns)

    def leave(self, chip: int, now_ns: int, num_bytes: int) -> int:
        end_ns: int = lib.fold_leave(self._stored, chip, now_ns, num_bytes)
        return end_ns

    def come(self, chip: int, now_ns: int, num_bytes: int, limit_per_s: int) -> int:
        end_ns: int = lib.fold_come(self._stored, chip, now_ns, num_bytes, limit_per_s)
        return end_ns

    @property
    def now_ns(self) -> int:
        now_ns: int = lib.fold_now(self._stored)
        return now_ns

    def next_ns(self) -> int | None:
        next_ns: int = lib.fold_next(self._stored)
        return None if next_ns < 0 else next_ns

    def advance(self, until_ns: int | None, each_step: bool = False) -> list[Ended]:
        until_ns = -1 if until_ns is None else until_ns
        count = lib.fold_advance(self._stored, until_ns, int(each_step))
        if not count:
            return []
        ended = np.empty((count, 6), dtype=np.int64)
        lib.fold_ended(self._stored, ended)
        return [
            Ended(chip, step, end_ns, compute_ns, wait_ns, bool(is_last))
            for chip, step, end_ns, compute_ns, wait_ns, is_last in ended.tolist()
        ]

    def counts(self) -> Counts:
        group = self.group
        ends = [np.empty((6, n), np.int64) for n in (group.num_chips, group.num_shards)]
        launches = np.empty((4, group.num_shards), dtype=np.int64)
        expert_tokens_E = np.empty(len(group.owners_E), dtype=np.int64)
        lib.fold_counts(self._stored, *ends, launches, expert_tokens_E)
        chips, shards = (EndCounts(*of) for of in ends)
        batches_S, compute_ns_S, choices_S, distinct_S = launches
        return Counts(
            chips, shards, batches_S, compute_ns_S, choices_S, distinct_S, expert_tokens_E
        )
