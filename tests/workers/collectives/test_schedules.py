"""Schedules alone, without messages: everybody ends with what the operation promises, and no term
goes anywhere twice: who really adds on the way would add it twice.
"""

import pytest

from configs.schema.collectives import Algorithm, Operation
from workers.collectives.named import SCHEDULES, schedule_of
from workers.collectives.schedule import Schedule, even_parts

DEGREES = [1, 2, 3, 5, 6, 7, 8, 13, 16]
Known = dict[tuple[int, int], set[int]]  # (member, chunk) -> ranks whose terms it holds


def begun(operation: Operation, schedule: Schedule) -> Known:
    n = schedule.num_ranks
    chunks = range(schedule.num_chunks)
    match operation:
        case "all_gather":
            return {(r, r): {r} for r in range(n)}
        case "all_to_all":
            return {(c // n, c): {c // n} for c in chunks}
        case "broadcast":
            return {(0, 0): {0}}
        case _:
            return {(r, c): {r} for r in range(n) for c in chunks}


def played(operation: Operation, schedule: Schedule) -> Known:
    """All rounds, one after the other."""
    known = begun(operation, schedule)
    everybody = set(range(schedule.num_ranks))
    for transfers in schedule.rounds:
        pairs = [(t.source, t.to) for t in transfers]
        assert len(set(pairs)) == len(pairs), "two messages of a pair in one round"
        moved = []
        for t in transfers:
            for chunk in t.chunks:
                terms = known[t.source, chunk] - (set() if t.own else {t.source})
                if t.summed:
                    assert terms == everybody, "a sum before all terms are there"
                moved.append((t.to, chunk, terms, t.summed))
        for to, chunk, terms, summed in moved:
            mine = known.setdefault((to, chunk), set())
            assert terms and (summed or not mine & terms), "a term comes twice"
            mine |= terms
    return known


@pytest.mark.parametrize("num_ranks", DEGREES)
@pytest.mark.parametrize(("operation", "algorithm"), list(SCHEDULES))
def test_everybody_ends_with_what_was_promised(
    operation: Operation, algorithm: Algorithm, num_ranks: int
) -> None:
    schedule = schedule_of(operation, algorithm, num_ranks)
    known, everybody = played(operation, schedule), set(range(num_ranks))
    for rank in range(num_ranks):
        match operation:
            case "all_reduce":
                wanted = dict.fromkeys(range(schedule.num_chunks), everybody)
            case "reduce_scatter":
                wanted = {rank: everybody}
            case "reduce":
                wanted = {0: everybody} if rank == 0 else {}
            case "all_gather":
                wanted = {c: {c} for c in range(num_ranks)}
            case "all_to_all":
                wanted = {num_ranks * r + rank: {r} for r in range(num_ranks)}
            case _:
                wanted = {0: {0}}
        assert all(known[rank, chunk] == terms for chunk, terms in wanted.items())


@pytest.mark.parametrize(
    ("algorithm", "rounds"),
    [
        ("direct", 1), ("two_shot", 2), ("ring", 12), ("tree", 4), ("recursive_doubling", 3),
        ("halving_doubling", 6), ("in_network", 2),
    ],
)  # fmt: skip
def test_rounds_of_seven_ranks(algorithm: Algorithm, rounds: int) -> None:
    """By hand: 2 (7 - 1) round a ring; two levels up and down; 2^3 is the first power above 6."""
    assert len(schedule_of("all_reduce", algorithm, 7).rounds) == rounds


def test_what_there_is_not_is_refused_by_name() -> None:
    with pytest.raises(
        ValueError, match="all_to_all by 'tree': there is no such algorithm; direct, ring are"
    ):
        schedule_of("all_to_all", "tree", 4)
    with pytest.raises(ValueError, match="all_reduce of 0 ranks"):
        schedule_of("all_reduce", "ring", 0)


def test_parts_differ_by_one_at_most() -> None:
    assert even_parts(10, 4) == [(0, 3), (3, 6), (6, 8), (8, 10)]
    assert even_parts(2, 3) == [(0, 1), (1, 2), (2, 2)]
