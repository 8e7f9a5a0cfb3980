"""What cannot be is refused before anything happens, by both engines, in words that say what is."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from kernels.fold import Chosen, Drawn, Engine, FoldEngine, Link, PlainEngine, Size, Term, Terms
from kernels.fold.engine import available

ENGINES = [PlainEngine, FoldEngine] if available else [PlainEngine]
LINK = Link(10**9, 1000)
OWNERS = [0, 0, 1, 1]
TOKENS: Any = ("tokens", 1, 1e9)  # of what no launch is counted by


def terms(**changes: Any) -> Terms:
    values: dict[str, Any] = {
        "chip_link": LINK,
        "shard_link": LINK,
        "dispatch": Size(68, 100),
        "combine": Size(64, 200),
        "reads_ns": (0, 10, 20),
        "computes": (Term("choices", 1000, 1e9),),
    }
    return Terms(**values | changes)


def make(engine: type[Engine], **changes: Any) -> Engine:
    of_terms = {name: changes.pop(name) for name in list(changes) if name in Terms.__annotations__}
    values: dict[str, Any] = {"num_chips": 2, "owners_E": OWNERS, "exchanges": 2}
    return engine(**values | changes, terms=terms(**of_terms))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"num_chips": 0}, "num_chips is 0; it must be from 1"),
        ({"owners_E": []}, "owners_E has shape"),
        ({"owners_E": [0, -1]}, "owners_E names shard -1"),
        ({"num_shards": 1}, "owners_E names shard 1; there are 1"),
        ({"exchanges": -1}, "exchanges is -1"),
        ({"slow_S": [1.0]}, "slow_S has 1 factors; there are 2 shards"),
        ({"slow_S": [1.0, 0.0]}, "slow_S has 0.0"),
        ({"chip_link": Link(0, 10)}, "chip_link.bytes_per_s is 0"),
        ({"chip_link": Link(1, 0), "shard_link": Link(1, 0)}, "1 ns is enough"),
        ({"dispatch": Size(68, 0)}, "dispatch.row is 0"),
        ({"reads_ns": (0, 10)}, "a shard owns 2 experts"),
        ({"computes": (Term(*TOKENS),)}, "'rows' or of 'choices'"),
        ({"computes": (Term("rows", 1, 0),)}, "rate_per_s is 0"),
    ],
)
def test_groups_that_are_none(engine: type[Engine], changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make(engine, **changes)


LAUNCHES = np.zeros((1, 3), dtype=np.int64)
EXPERTS = np.zeros((1, 2, 1, 1), dtype=np.int32)
POOL = np.zeros((1, 5, 1), dtype=np.int32)
Do = Callable[[Engine], object]
BAD: list[tuple[Do, str]] = [
    (lambda e: e.begin(2, 0, LAUNCHES, Chosen(EXPERTS)), "chip is 2"),
    (lambda e: e.begin(0, 4, LAUNCHES, Chosen(EXPERTS)), "start_ns is 4"),
    (lambda e: e.begin(0, 5, LAUNCHES[:, :2], Chosen(EXPERTS)), "launches_ns has shape"),
    (lambda e: e.begin(0, 5, LAUNCHES[:0], Chosen(EXPERTS)), "0"),
    (lambda e: e.begin(0, 5, LAUNCHES - 1, Chosen(EXPERTS)), "launches_ns has -1"),
    (lambda e: e.begin(0, 5, LAUNCHES, Chosen(EXPERTS[:, :1])), "experts have shape"),
    (lambda e: e.begin(0, 5, LAUNCHES, Chosen(EXPERTS + 4)), "expert 4; there are 4"),
    (lambda e: e.begin(0, 5, LAUNCHES, Chosen(EXPERTS - 2)), "expert -2"),
    (lambda e: e.begin(0, 5, LAUNCHES, Chosen(EXPERTS.repeat(2, 3))), "expert 0 twice"),
    (lambda e: e.begin(0, 5, LAUNCHES, Drawn(0, 1, 0, 0)), "pool"),
    (lambda e: e.begin(1, 5, LAUNCHES, Chosen(EXPERTS)), "chip 1 has a stretch"),
    (lambda e: e.cut(-1), "chip is -1"),
    (lambda e: e.add_pool(POOL[0]), "shape|dimensions"),
    (lambda e: e.add_pool(POOL.repeat(3, 0)), "of 3 exchanges; it must be of 2"),
    (lambda e: e.add_pool(POOL + 9), "expert 9; there are 4"),
]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("do", "words"), BAD)
def test_stretches_that_are_none(engine: type[Engine], do: Do, words: str) -> None:
    one = make(engine)
    one.advance(5)
    one.begin(1, 6, LAUNCHES, Chosen(EXPERTS))
    with pytest.raises(ValueError, match=words):
        do(one)
    ended = one.advance(None)
    assert [step.chip for step in ended] == [1], "whoever is refused changes nothing"


@pytest.mark.parametrize("engine", ENGINES)
def test_messages_and_launches_too_long_to_reckon_with(engine: type[Engine]) -> None:
    narrow = Link(1, 1)
    one = make(engine, chip_link=narrow, dispatch=Size(0, 1 << 24))
    with pytest.raises(ValueError, match="takes longer than 2\\^44 ns"):
        one.begin(0, 0, LAUNCHES, Chosen(EXPERTS.repeat(2000, 2)))
    one = make(engine, computes=(Term("rows", 1 << 53, 1),))
    one.begin(0, 0, LAUNCHES, Chosen(EXPERTS))
    with pytest.raises(ValueError, match="launch takes longer than 2\\^50 ns"):
        one.advance(None)


@pytest.mark.parametrize("engine", ENGINES)
def test_nobody_to_ask(engine: type[Engine]) -> None:
    """Experts that live elsewhere, no tokens, no exchanges: then launches are all there is."""
    one = make(engine)
    one.begin(0, 7, LAUNCHES + 10, Chosen(np.full((1, 2, 3, 2), -1, np.int32)))
    one.begin(1, 7, LAUNCHES + 10, Chosen(EXPERTS[:, :, :0]))
    assert [(step.end_ns, step.wait_ns) for step in one.advance(None)] == [(37, 0), (37, 0)]
    assert one.next_ns() is None
    one = make(engine, exchanges=0)
    one.begin(0, 0, np.full((2, 1), 5), Chosen(np.zeros((2, 0, 1, 1), np.int32)))
    assert [step.end_ns for step in one.advance(None)] == [5, 10]
    assert one.counts().expert_tokens_E.tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize("engine", ENGINES)
def test_one_chip_and_one_shard_by_hand(engine: type[Engine]) -> None:
    """100 ns of launch; 268 B out and 1,000 ns; 20 ns of reads, but 4,000 of arithmetic; 464 B
    back; 100 ns.
    """
    one = make(engine, exchanges=1, owners_E=[0, 0])
    chosen = Chosen(np.array([[[[0, 1], [1, 0]]]], np.int32))
    one.begin(0, 0, np.full((1, 2), 100), chosen)
    (ended,) = one.advance(None)
    assert ended.end_ns == 100 + 268 + 1000 + 4000 + 464 + 1000 + 100
    counts = one.counts()
    assert (counts.chips.rows_out[0], counts.chips.busy_in_ns[0]) == (2, 464)
    assert (counts.choices_S[0], counts.distinct_S[0], counts.batches_S[0]) == (4, 2, 1)
