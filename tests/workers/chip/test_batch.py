"""Micro-batches: how a step is cut, and who fails when rows lack a contribution."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from workers.chip.batch import Batch, micro_batches
from workers.chip.scheduler import Item
from workers.chip.sequence import Sequence
from workers.errors import DeadlineExceeded, PeerDead, PerfuseError
from workers.experts.routing import NOBODY
from workers.experts.tokens import Missing, request_number
from workers.model.program import Experts

COUNTS = st.lists(st.integers(1, 40), min_size=1, max_size=12)


def items(counts: list[int]) -> list[Item]:
    made = []
    for i, count in enumerate(counts):
        seq = Sequence(f"s{i}", range(100 * i, 100 * i + count + i), 9)
        seq.block_ids = [i]
        made.append(Item(seq, i, count, i % 3 != 1))
    return made


@given(COUNTS)
def test_two_parts_are_as_equal_as_whole_sequences_allow(counts: list[int]) -> None:
    whole = items(counts)
    parts = micro_batches(whole, 2)
    assert [i for part in parts for i in part.items] == whole
    assert len(parts) == min(2, len(counts))
    if len(parts) == 2:
        first = len(parts[0].items)
        best = min(abs(sum(counts[:c]) - sum(counts[c:])) for c in range(1, len(counts)))
        assert abs(sum(counts[:first]) - sum(counts[first:])) == best
    (one,) = micro_batches(whole, 1)
    assert one.items == tuple(whole)


@given(COUNTS)
def test_rows_are_the_tokens_of_the_sequences_in_order(counts: list[int]) -> None:
    batch = Batch(items(counts))
    rows = [
        (request_number(i.seq.seq_id), p, i.seq.token_ids[p])
        for i in batch.items
        for p in range(i.start, i.start + i.count)
    ]
    columns = (batch.requests.tolist(), batch.positions.tolist(), batch.token_ids_T.tolist())
    assert list(zip(*columns, strict=True)) == rows
    assert batch.layout.num_tokens == len(rows)
    last = [sum(counts[: i + 1]) - 1 for i in range(len(counts)) if i % 3 != 1]
    assert batch.last_rows.tolist() == last


@given(COUNTS, st.data())
def test_only_the_sequences_of_missing_rows_fail(counts: list[int], data: st.DataObject) -> None:
    batch = Batch(items(counts))
    owner = np.repeat(np.arange(len(counts)), counts)
    first, second = (
        np.flatnonzero(data.draw(st.lists(st.booleans(), min_size=len(owner), max_size=len(owner))))
        for _ in range(2)
    )
    late: PerfuseError = DeadlineExceeded("late")
    dead: PerfuseError = PeerDead("dead")
    batch.lack_experts((Missing("a", first, late), Missing("b", second, dead)))
    expected = dict.fromkeys((f"s{i}" for i in set(owner[second].tolist())), dead)
    expected |= dict.fromkeys((f"s{i}" for i in set(owner[first].tolist())), late)
    told = {name: (type(one), one.message) for name, one in batch.failures.items()}
    assert told == {name: (type(one), one.message) for name, one in expected.items()}
    gone = [one.facts for one in batch.failures.values() if isinstance(one, PeerDead)]
    assert gone == [{"experts_of": "b"}] * len(gone), "whose experts nobody had"
    assert batch.is_lost == (len(expected) == len(counts))
    going = [i for i in batch.items if i.samples and i.seq.seq_id not in expected]
    assert batch.sampled == going and len(batch.last_rows) == len(going)

    ids = np.arange(len(owner), dtype=np.int32)[:, None]
    op = Experts(3, ids, ids, ids.astype(np.float32))
    failed = np.isin(owner, [int(name[1:]) for name in expected])
    asked = batch.tokens(op).experts_TK
    assert asked[:, 0].tolist() == np.where(failed, NOBODY, ids[:, 0]).tolist()
    assert asked.dtype == np.int32
