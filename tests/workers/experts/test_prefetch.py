"""What a shard reads ahead: places in a buffer, by hand and under any hints."""

from dataclasses import dataclass
from functools import partial

from hypothesis import given
from hypothesis import strategies as st

from workers.experts.prefetch import Buffer, Prefetch, PrefetchCounts


@dataclass
class Read:
    due_ns: int
    num_open: int = 0

    async def certain(self) -> None:
        raise AssertionError("it is certain")


def test_an_expert_that_was_hinted_at_is_there_once() -> None:
    """It is consumed by whoever asks; a layer of the same expert is another."""
    counts = PrefetchCounts()
    prefetch = Prefetch({7: Buffer(300, 100, counts)}, counts)
    prefetch.hint(2, [7], 0, lambda _: Read(50))
    assert prefetch.take(1, [7]) == {}
    assert prefetch.take(2, [7]) == {7: Read(50)}
    assert prefetch.take(2, [7]) == {}
    told = (counts.hits, counts.misses, counts.read_bytes, counts.wasted_bytes)
    assert told == (1, 2, 100, 0)


def test_an_expert_of_a_tier_without_a_buffer_is_neither_read_nor_missed() -> None:
    counts = PrefetchCounts()
    prefetch = Prefetch({7: Buffer(300, 100, counts)}, counts)
    prefetch.hint(0, [3], 0, lambda _: Read(0))
    assert prefetch.take(0, [3]) == {} and counts == PrefetchCounts()


def test_what_is_on_its_way_keeps_its_place_and_what_is_there_gives_it_up() -> None:
    """Two places. At 60 the first is there and goes, unused; the second is under way until 90."""
    counts = PrefetchCounts()
    buffer = Buffer(299, 100, counts)
    buffer.hint((0, 1), 0, lambda: Read(60))
    buffer.hint((0, 2), 0, lambda: Read(90))
    buffer.hint((0, 3), 59, lambda: Read(99))
    assert (counts.no_room, counts.wasted_bytes) == (1, 0)
    buffer.hint((0, 3), 60, lambda: Read(99))
    assert (counts.no_room, counts.wasted_bytes) == (1, 100)
    buffer.hint((0, 4), 60, lambda: Read(99))
    assert counts.no_room == 2 and len(buffer) == 2
    assert buffer.take((0, 1)) is None and buffer.take((0, 3)) == Read(99)


def test_an_end_that_is_not_certain_is_on_its_way() -> None:
    counts = PrefetchCounts()
    buffer = Buffer(100, 100, counts)
    buffer.hint((0, 1), 0, lambda: Read(0, num_open=1))
    buffer.hint((0, 2), 1_000, lambda: Read(0))
    assert counts.no_room == 1


def test_an_expert_larger_than_its_part_of_the_buffer_is_not_read() -> None:
    counts = PrefetchCounts()
    buffer = Buffer(99, 100, counts)
    buffer.hint((0, 1), 0, lambda: Read(0))
    assert (counts.no_room, counts.read_bytes, len(buffer)) == (1, 0, 0)


def _one_of(read: Read, _: int) -> Read:
    return read


CALLS = st.tuples(st.booleans(), st.integers(0, 2), st.lists(st.integers(0, 5), max_size=4))


@given(calls=st.lists(CALLS, max_size=60), places=st.integers(0, 4), took_ns=st.integers(0, 3))
def test_any_hints_keep_to_the_buffer_and_every_byte_is_accounted_for(
    calls: list[tuple[bool, int, list[int]]], places: int, took_ns: int
) -> None:
    counts = PrefetchCounts()
    buffer = Buffer(places * 100 + 99, 100, counts)
    prefetch = Prefetch(dict.fromkeys(range(5), buffer), counts)
    num_asked = 0
    for now_ns, (is_hint, layer, experts) in enumerate(calls):
        if is_hint:
            read = Read(now_ns + took_ns)
            prefetch.hint(layer, experts, now_ns, partial(_one_of, read))
        else:
            num_asked += sum(expert < 5 for expert in experts)
            prefetch.take(layer, experts)
        assert len(buffer) <= places
        held, used = 100 * len(buffer), 100 * counts.hits
        assert counts.read_bytes == held + used + counts.wasted_bytes
        assert counts.hits + counts.misses == num_asked
