"""Which evicted blocks are written: rules by hand, and what holds of any sequence of calls."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from configs.offload import BlockCosts
from workers.kv.offload_admission import USES_MAX, Always, Uses, WearBudget, rule_of

A, B, C = b"a" * 16, b"b" * 16, b"c" * 16
CHEAP = BlockCosts(compute_ns=1_000, write_ns=100, read_ns=0)
HASHES = st.integers(0, 20).map(lambda n: bytes([n]) * 16)


def test_a_second_use_is_what_is_asked_for_twice_or_will_be() -> None:
    uses = Uses()
    rule = rule_of("second_use", uses, CHEAP, None)
    uses.asked([A, B])
    assert not rule.admits(A, 1, 0)
    uses.asked([A])
    assert rule.admits(A, 1, 0) and not rule.admits(B, 1, 0)
    uses.expect([B])  # its sequence was preempted
    assert rule.admits(B, 1, 0) and not rule.admits(C, 1, 0)


def test_a_chance_is_the_share_of_those_that_came_again_by_the_rule_of_succession() -> None:
    """Of three blocks one came again: (1 + 1) / (3 + 2). That one has not come a third time, of
    which (0 + 1) / (1 + 2) would be less: it is no less likely for having come twice. When it has,
    (1 + 1) / (1 + 2). A block of which nobody asked is as one that was asked for once.
    """
    uses = Uses()
    uses.asked([A, B, C])
    uses.asked([A])
    assert uses.chance(B) == uses.chance(b"x" * 16) == 2 / 5
    assert uses.chance(A) == 2 / 5
    uses.expect([A])
    assert uses.chance(A) == 1.0
    uses.asked([A])
    assert uses.chance(A) == 2 / 3 and uses.chance(B) == 2 / 5


def test_a_write_is_worth_it_where_what_it_saves_outweighs_it() -> None:
    """Nothing is known at first: a half. 0.5 x (1,000 - read) > write."""
    for read_ns, write_ns, is_worth_it in ((0, 499, 1), (0, 500, 0), (400, 299, 1), (400, 300, 0)):
        rule = rule_of("write_cost", Uses(), BlockCosts(1_000, write_ns, read_ns), None)
        assert rule.admits(A, 1, 0) == bool(is_worth_it)
    # What is read more slowly than computed is worth nothing, however sure its use.
    uses = Uses()
    uses.expect([A])
    assert not rule_of("write_cost", uses, BlockCosts(1_000, 0, 1_000), None).admits(A, 1, 0)


def test_the_wear_of_a_tier_bounds_what_is_written() -> None:
    """100 B/s, of which a second's is there at first: one block of 60, the next 0.2 s later."""
    rule = rule_of("write_cost", Uses(), CHEAP, 100.0)
    assert rule.admits(A, 60, 0)
    assert not rule.admits(B, 60, 0)
    assert not rule.admits(B, 60, 199_000_000)
    assert rule.admits(B, 60, 200_000_000)
    assert rule_of("always", Uses(), CHEAP, 1.0).admits(A, 60, 0), "that one asks for nothing"
    with pytest.raises(ValueError, match="must be above 0"):
        WearBudget(0.0)


@given(
    rate=st.integers(1, 10_000),
    asked=st.lists(st.tuples(st.integers(0, 3_000), st.integers(0, 2_000_000_000)), max_size=60),
)
def test_no_more_is_written_in_any_time_than_the_tier_lives_by(
    rate: int, asked: list[tuple[int, int]]
) -> None:
    """rate x (t + 1 s), between any two writes."""
    budget, now_ns, written = WearBudget(float(rate)), 0, []
    for num_bytes, later_ns in asked:
        now_ns += later_ns
        if budget.take(num_bytes, now_ns):
            written.append((now_ns, num_bytes))
    for first in range(len(written)):
        for last in range(first, len(written)):
            took_s = (written[last][0] - written[first][0]) * 1e-9
            total = sum(num_bytes for _, num_bytes in written[first : last + 1])
            assert total <= rate * (took_s + 1) * (1 + 1e-9)


@given(
    calls=st.lists(st.tuples(st.booleans(), st.lists(HASHES, max_size=6)), max_size=40),
    most=st.integers(1, 8),
)
def test_any_calls_leave_chances_between_0_and_1_and_memory_bounded(
    calls: list[tuple[bool, list[bytes]]], most: int
) -> None:
    """Beside a count by hand, where nothing is forgotten."""
    uses, whole, counts = Uses(most), Uses(), dict[bytes, int]()
    for is_asked, hashes in calls:
        for each in (uses, whole):
            (each.asked if is_asked else each.expect)(hashes)
        for content in hashes if is_asked else ():
            counts[content] = counts.get(content, 0) + 1
    assert len(uses._uses) <= most and len(uses._expected) <= most
    for content in (bytes([n]) * 16 for n in range(21)):
        assert 0 < uses.chance(content) <= 1
        assert whole.count(content) == min(counts.get(content, 0), USES_MAX)
        assert uses.count(content) <= whole.count(content)


@given(uses_so_far=st.lists(st.lists(HASHES, max_size=6), max_size=20), content=HASHES)
def test_write_cost_admits_less_the_more_writing_costs(
    uses_so_far: list[list[bytes]], content: bytes
) -> None:
    uses = Uses()
    for hashes in uses_so_far:
        uses.asked(hashes)
    said = [
        rule_of("write_cost", uses, BlockCosts(1_000, write_ns, 100), None).admits(content, 1, 0)
        for write_ns in range(0, 1_000, 50)
    ]
    assert said == sorted(said, reverse=True) and said[0] and not said[-1]
    assert Always().admits(content, 1, 0)
