"""Who may come in: order, slots, room, and what the prefix cache has of it."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.workers.chip.driver import SIZE, chip_with, reference, shape
from workers.chip.scheduler import Scheduler
from workers.chip.sequence import Sequence
from workers.kv.blocks import BlockManager


@settings(max_examples=60, deadline=None)
@given(num_blocks=st.integers(1, 6), num_prompt=st.integers(1, 11), budget=st.integers(1, 5))
def test_a_sequence_that_fits_alone_finishes_without_preemption(
    num_blocks: int, num_prompt: int, budget: int
) -> None:
    chip = chip_with(num_blocks, seqs=1, budget=budget)
    seq = Sequence("s", [0] * num_prompt, 1000)
    if num_prompt + 1 > num_blocks * SIZE:
        with pytest.raises(ValueError, match=f"has {num_prompt} tokens"):
            chip.scheduler.add(seq)
        return
    chip.scheduler.add(seq)
    chip.run()
    assert seq.num_tokens == num_blocks * SIZE
    assert chip.scheduler.num_preemptions == 0


def test_waiting_ones_join_in_order_and_nobody_passes_the_head() -> None:
    chip = chip_with(num_blocks=6, budget=32)
    for name, size in (("a", 4), ("big", 9), ("tiny", 1)):
        chip.scheduler.add(Sequence(name, [len(name)] * size, 3))
    assert [i[0] for i in shape(chip.turn())] == ["a"]
    assert chip.scheduler.num_waiting == 2
    chip.scheduler.abort("big")
    assert [i[0] for i in shape(chip.turn())] == ["a", "tiny"]


def test_max_num_seqs_counts_receiving_ones() -> None:
    chip = chip_with(seqs=2)
    scheduler = chip.scheduler
    assert scheduler.reserve(Sequence("r", [1, 2], 4))
    scheduler.add(Sequence("a", [1], 4))
    scheduler.add(Sequence("b", [1], 4))
    assert [i[0] for i in shape(chip.turn())] == ["a"]
    assert (scheduler.num_running, scheduler.num_waiting, scheduler.num_receiving) == (1, 1, 1)


def test_preempted_ones_come_back_in_order_before_the_rest() -> None:
    chip = chip_with()
    for name in "abc":
        chip.scheduler.add(Sequence(name, [1, 2], 5))
    chip.turn()
    chip.scheduler.add(Sequence("d", [1, 2], 5))
    chip.scheduler.preempt("c")
    chip.scheduler.preempt("b")
    assert [i[0] for i in shape(chip.turn())] == ["a", "b", "c", "d"]


def test_preempted_ones_come_back_in_the_order_in_which_they_came() -> None:
    """Whichever of them lost its blocks first."""
    chip = chip_with()
    for name in "abc":
        chip.scheduler.add(Sequence(name, [1, 2], 5))
    chip.turn()
    chip.scheduler.preempt("b")
    chip.scheduler.preempt("c")
    assert [i[0] for i in shape(chip.turn())] == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("watermark", "admitted"), [(None, 3), (0, 4), (1, 3), (2, 3), (3, 2), (4, 2), (5, 1), (9, 1)]
)
def test_an_admission_leaves_the_watermark_free(watermark: int | None, admitted: int) -> None:
    """Each takes 2 of 8 blocks, in one step. The first one is alone and needs no more; the second
    leaves 4, the third 2, the fourth none. One for each that runs: the third wants 2 + 2 of the 4
    that are left, the fourth 2 + 3 of 2.
    """
    chip = chip_with(num_blocks=8, budget=32, caching=False, watermark=watermark)
    for name in "abcd":
        chip.scheduler.add(Sequence(name, [1, 2, 3, 4], 3))
    assert len(shape(chip.turn())) == admitted


def test_a_preempted_sequence_finds_its_own_blocks_again() -> None:
    chip = chip_with(num_blocks=8)
    seq = Sequence("s", [0, 1, 2, 3, 4], 3)
    chip.scheduler.add(seq)
    chip.turn()
    chip.scheduler.preempt("s")
    step = chip.turn()
    assert step is not None
    assert (step.preempted, shape(step)) == (("s",), [("s", 4, 2, True)])


def test_a_shared_prefix_is_computed_once_but_only_after_it_was_computed() -> None:
    chip = chip_with(budget=32)
    prefix = [5, 6, 7, 8]
    scheduler = chip.scheduler
    scheduler.add(Sequence("a", [*prefix, 1], 2))
    scheduler.add(Sequence("same-step", [*prefix, 2], 2))
    assert shape(chip.turn()) == [("a", 0, 5, True), ("same-step", 0, 5, True)]
    late = Sequence("late", [*prefix, 3], 2)
    scheduler.add(late)
    assert shape(chip.turn())[-1] == ("late", 4, 1, True)
    assert late.num_cached == 4
    assert (scheduler.num_prefix_queries, scheduler.num_prefix_hits) == (15, 4)


def test_a_full_hit_still_computes_the_last_token() -> None:
    """In a block of its own: the cached one may be read by others at the same time."""
    chip = chip_with(budget=32)
    a = Sequence("a", [5, 6, 7, 8], 9)
    chip.scheduler.add(a)
    chip.turn()
    b = Sequence("b", [5, 6, 7, 8], 9)
    chip.scheduler.add(b)
    assert shape(chip.turn())[-1] == ("b", 2, 2, True)
    assert b.block_ids[0] == a.block_ids[0]
    assert b.block_ids[1] != a.block_ids[1]


def test_finished_prefixes_are_evicted_least_recently_used_first() -> None:
    chip = chip_with(num_blocks=4, seqs=1)
    for name, token in (("a", 1), ("b", 2), ("again", 1), ("c", 3)):
        chip.scheduler.add(Sequence(name, [token] * 3, 1))
        chip.run()
    for name, token, cached in (("a2", 1, 2), ("b2", 2, 0)):
        seq = Sequence(name, [token] * 6, 1)
        chip.scheduler.add(seq)
        chip.run()
        assert seq.num_cached == cached, name


def test_a_resumed_stream_counts_what_it_has() -> None:
    chip = chip_with()
    outputs = reference([1, 2, 3], 2)
    seq = Sequence("s", [1, 2, 3], 4, output_token_ids=outputs)
    chip.scheduler.add(seq)
    chip.run()
    assert seq.output_token_ids == reference([1, 2, 3], 4)


def test_what_can_never_fit_is_refused_with_its_numbers() -> None:
    chip = chip_with(num_blocks=4, model_len=6)
    for add in (chip.scheduler.add, chip.scheduler.reserve):
        with pytest.raises(ValueError, match=r"has 6 tokens.*max_model_len is 6.*4 blocks of 2"):
            add(Sequence("s", range(6), 1))
    chip.scheduler.add(Sequence("s", range(5), 1))
    with pytest.raises(ValueError, match="not new"):
        chip.scheduler.add(Sequence("s", range(5), 1))


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"max_num_seqs": 0, "max_num_batched_tokens": 4, "max_model_len": 9}, "max_num_seqs is 0"),
        ({"max_num_seqs": 5, "max_num_batched_tokens": 4, "max_model_len": 9}, "starve"),
        (
            {"max_num_seqs": 1, "max_num_batched_tokens": 4, "max_model_len": 1},
            "max_model_len is 1",
        ),
    ],
)
def test_bounds_that_cannot_work_are_refused(arguments: dict[str, Any], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        Scheduler(BlockManager(4, 2), **arguments)
