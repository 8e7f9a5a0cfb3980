"""A channel's bus against the plainest there is: a picosecond after the other."""

from hypothesis import given
from hypothesis import strategies as st

from workers.hardware.sharing.banked.calendar import Calendar
from workers.hardware.sharing.banked.places import Places


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(1, 9)), max_size=25))
def test_each_takes_what_those_before_it_left(asked: list[tuple[int, int]]) -> None:
    calendar, taken = Calendar(), set[int]()
    for ready, length in asked:
        at = ready
        for _ in range(length):
            while at in taken:
                at += 1
            taken.add(at)
        assert calendar.take(ready, length) == at + 1
        for now in (0, 7, 30, 200):
            assert calendar.busy_ps(now) == len([t for t in taken if t < now])


@given(
    st.lists(st.tuples(st.integers(0, 60), st.integers(1, 9)), min_size=1, max_size=25),
    st.integers(0, 60),
)
def test_what_is_past_is_forgotten_and_still_counted(
    asked: list[tuple[int, int]], now: int
) -> None:
    calendar, other = Calendar(), Calendar()
    for ready, length in asked:
        calendar.take(ready, length)
        other.take(ready, length)
    calendar.forget(now)
    assert calendar.busy_ps(now + 5) == other.busy_ps(now + 5)
    assert calendar.take(now, 3) == other.take(now, 3)


@given(
    st.integers(1, 6),
    st.lists(st.tuples(st.integers(0, 99), st.integers(0, 5), st.booleans()), max_size=9),
)
def test_places_are_had_by_when_they_are_free(
    num: int, given_back: list[tuple[int, int, bool]]
) -> None:
    """Against a sorted list: all of them at once, or one."""
    places, free = Places(num), [0] * num
    for at, step, is_all in given_back:
        had = [max(50, t) for t in (free if is_all else free[:1])]
        if is_all:
            begin, mean = places.take_many(50, num)
            assert begin == had[0]
            assert mean <= sum(had) // num + 1
        else:
            assert places.take(50) == had[0]
        places.give(at, step, len(had))
        free = sorted(free[len(had) :] + [at + step * i for i in range(len(had))])
        assert places.next_ps(0) == free[0]
    assert [places.take(0) for _ in free] == free
