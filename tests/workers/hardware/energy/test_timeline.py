"""Power over time in buckets of 1 us at first, reckoned by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.hardware.energy.timeline import KEPT_AT_ONCE, NUM_BUCKETS, Drawing, Timeline


def drawn(*draws: tuple[int, int, float], origin_ns: int = 0) -> Timeline:
    timeline = Timeline(origin_ns)
    for draw in draws:
        timeline.draw(*draw)
    return timeline


def test_energy_lies_evenly_where_it_was_drawn() -> None:
    assert drawn((0, 2_000, 2.0)).buckets() == [1.0, 1.0]
    assert drawn((500, 1_500, 1.0)).buckets() == [0.5, 0.5]
    assert drawn((500, 2_500, 2.0)).buckets() == [0.5, 1.0, 0.5]
    assert drawn((100, 200, 3.0), (300, 900, 4.0)).buckets() == [7.0]
    assert drawn((1_200, 1_201, 3.0)).buckets() == [0.0, 3.0]


def test_time_counts_from_the_origin() -> None:
    """What began before it has all its energy after it; what takes no time takes 1 ns."""
    assert drawn((6_000, 8_000, 2.0), origin_ns=5_000).buckets() == [0.0, 1.0, 1.0]
    assert drawn((4_000, 7_000, 2.0), origin_ns=5_000).buckets() == [1.0, 1.0]
    assert drawn((1_000, 2_000, 2.0), origin_ns=5_000).buckets() == [2.0]
    assert drawn((1_000, 1_000, 2.0)).buckets() == [0.0, 2.0]


def test_what_lies_beyond_the_last_bucket_makes_all_of_them_wider() -> None:
    timeline = drawn((0, 1_000, 1.0), (1_000, 2_000, 2.0), (2_000, 3_000, 4.0))
    assert timeline.buckets() == [1.0, 2.0, 4.0]
    timeline.draw(NUM_BUCKETS * 1_000, NUM_BUCKETS * 1_000 + 1, 8.0)
    assert timeline.buckets() == [3.0, 4.0, *[0.0] * 126, 8.0]
    assert timeline.width_ns == 2_000


def test_what_is_taken_back_was_never_drawn() -> None:
    timeline = drawn((0, 1_000, 16.0), (0, 1_000, -16.0), (0, 1_500, 15.0))
    assert timeline.buckets() == [10.0, 5.0]


def test_what_has_not_ended_is_open_and_in_no_bucket() -> None:
    timeline = Timeline(0)
    drawing = Drawing(timeline, 500, 3.0)
    assert timeline.open_joules == 3.0
    assert timeline.buckets() == []
    drawing.ended(3_500)
    assert timeline.open_joules == 0.0
    assert timeline.buckets() == [0.5, 1.0, 1.0, 0.5]


def test_a_copy_goes_on_by_itself() -> None:
    timeline = drawn((0, 1_000, 1.0))
    other = timeline.copy()
    other.draw(0, 1_000, 5.0)
    assert other.buckets() == [6.0]
    assert timeline.buckets() == [1.0]


@given(
    st.lists(
        st.tuples(st.integers(0, 10**12), st.integers(1, 10**10), st.floats(1e-12, 1e3)),
        min_size=1,
        max_size=50,
    )
)
def test_the_integral_is_what_was_drawn_however_wide_the_buckets(
    draws: list[tuple[int, int, float]],
) -> None:
    timeline = drawn(*[(begin, begin + took, joules) for begin, took, joules in draws])
    buckets = timeline.buckets()
    assert len(buckets) <= NUM_BUCKETS
    assert sum(buckets) == pytest.approx(sum(joules for *_, joules in draws), rel=1e-12)


def test_many_draws_are_kept_in_bounded_memory() -> None:
    timeline = Timeline(0)
    for number in range(3 * KEPT_AT_ONCE):
        timeline.draw(number, number + 1, 1.0)
    assert len(timeline._fresh) < KEPT_AT_ONCE
    assert timeline.buckets() == [*[1_000.0] * 12, 288.0], "12,288 draws of 1 ns"
