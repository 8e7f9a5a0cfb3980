"""Places of running sequences' KV blocks in a memory server."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.memory.near_room import NearRoom, Owner

A, B = Owner("decode-0", 1), Owner("decode-1", 1)


def test_a_put_finds_room_for_all_or_for_none() -> None:
    room = NearRoom(3)
    assert room.put(A, [0, 1]) == [0, 1]
    assert room.put(B, [0, 2]) is None
    assert not room.holds(B)
    assert room.num_held == 2
    assert room.put(B, [2]) == [2]


def test_a_block_that_is_here_keeps_its_place() -> None:
    room = NearRoom(2)
    assert room.put(A, [0, 3]) == [0, 1]
    assert room.put(A, [3, 0]) == [1, 0]


def test_blocks_past_the_limit_are_not_attended_to() -> None:
    room = NearRoom(4)
    room.put(A, [4, 0, 2])
    assert room.places(A, 4) == [1, 2]
    assert room.places(A, 5) == [1, 2, 0]
    assert room.places(B, 5) == []


def test_a_chip_that_goes_takes_its_sequences_along() -> None:
    room = NearRoom(4)
    room.put(A, [0, 1])
    room.put(B, [0])
    room.drop_chip("decode-0")
    assert not room.holds(A)
    assert room.holds(B)
    assert room.num_held == 1


def test_a_room_without_places_is_refused() -> None:
    with pytest.raises(ValueError, match="num_blocks is 0: it must be at least 1"):
        NearRoom(0)


@given(st.lists(st.tuples(st.integers(0, 3), st.lists(st.integers(0, 5), max_size=4)), max_size=30))
def test_each_place_is_free_or_one_owners(acts: list[tuple[int, list[int]]]) -> None:
    """No indexes: the owner is dropped."""
    room, held = NearRoom(7), dict[int, set[int]]()
    for number, indexes in acts:
        owner = Owner("chip-0", number)
        if not indexes:
            room.drop(owner)
            held.pop(number, None)
            continue
        fresh = set(indexes) - held.get(number, set())
        fits = len(fresh) <= 7 - sum(map(len, held.values()))
        assert (room.put(owner, indexes) is not None) == fits
        if fits:
            held[number] = held.get(number, set()) | fresh
        room.check_integrity()
        assert len(room.places(owner, 6)) == len(held.get(number, set()))
    assert room.num_held == sum(map(len, held.values()))
