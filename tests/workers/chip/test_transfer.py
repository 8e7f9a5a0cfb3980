"""KV that comes from elsewhere, and KV that others still read here."""

import pytest

from tests.workers.chip.driver import chip_with, next_token, reference, shape
from workers.chip.scheduler import Scheduler
from workers.chip.sequence import Sequence, State
from workers.kv.blocks import BlockManager


def test_prefill_only_holds_its_blocks_until_each_is_acknowledged() -> None:
    chip = chip_with(num_blocks=4)
    scheduler = chip.scheduler
    seq = Sequence("p", [1, 2, 3, 4, 5], max_tokens=1)
    scheduler.add(seq)
    step = chip.launch()
    assert step is not None
    assert chip.land(chip.compute()) == (seq,)
    assert (seq.state, scheduler.num_held, scheduler.num_running) == (State.HELD, 1, 0)
    assert len(seq.full_block_hashes()) == 2
    assert scheduler.schedule() is None
    assert scheduler.release("p", [1, 0, 1]) == 2  # named twice, let go once
    assert scheduler.release("p", [1]) == 0  # the same acknowledgement, once more
    assert scheduler.blocks.num_free == 3
    with pytest.raises(ValueError, match="blocks 0 to 2, none at 3"):
        scheduler.release("p", [3])
    assert not scheduler.is_idle
    assert scheduler.release("p") == 1
    assert scheduler.release("p") == 0
    assert scheduler.is_idle
    assert seq.state is State.FINISHED


@pytest.mark.parametrize("holds_slots", [False, True])
def test_a_held_sequence_keeps_its_slot_where_it_has_a_state(holds_slots: bool) -> None:
    """Room for two: one runs, one is held until its KV has been sent, and a third waits for it."""
    scheduler = Scheduler(
        BlockManager(20, 2), max_num_seqs=2, max_num_batched_tokens=9, max_model_len=9,
        holds_slots=holds_slots,
    )  # fmt: skip
    for name, count in (("held", 1), ("runs", 5), ("third", 5)):
        scheduler.add(Sequence(name, [1, 2], max_tokens=count))
    step = scheduler.schedule()
    assert step is not None and shape(step) == [("held", 0, 2, True), ("runs", 0, 2, True)]
    scheduler.advance(step, {"held": 1, "runs": 1})
    scheduler.check_integrity()
    step = scheduler.schedule()
    assert step is not None
    assert [item.seq.seq_id for item in step.items] == ["runs", "third"][: 2 - holds_slots]
    scheduler.advance(step, {item.seq.seq_id: 1 for item in step.items})
    scheduler.release("held")
    step = scheduler.schedule()
    assert step is not None and [item.seq.seq_id for item in step.items] == ["runs", "third"]
    scheduler.check_integrity()


def test_hold_stops_a_sequence_between_steps_only() -> None:
    chip = chip_with()
    chip.scheduler.add(Sequence("s", [1, 2], 9))
    chip.launch()
    with pytest.raises(ValueError, match="hold it after advance"):
        chip.scheduler.hold("s")
    chip.land(chip.compute())
    chip.scheduler.hold("s")
    chip.scheduler.hold("s")
    assert chip.launch() is None
    chip.scheduler.finish("s")
    assert chip.scheduler.is_idle


def test_a_handed_over_sequence_goes_on_with_its_first_token() -> None:
    chip = chip_with()
    seq = Sequence("d", [1, 2, 3, 4], 3)
    assert chip.scheduler.reserve(seq)
    assert chip.launch() is None
    assert chip.scheduler.blocks.lookup([1, 2, 3, 4]) == 0  # not before it is here
    chip.memory.write(seq, seq.block_ids, 0, 4)
    chip.scheduler.received("d", [next_token(seq.token_ids)])
    assert chip.scheduler.blocks.lookup([1, 2, 3, 4]) == 2
    assert shape(chip.turn()) == [("d", 4, 1, True)]
    chip.run()
    assert seq.output_token_ids == reference([1, 2, 3, 4], 3)


def test_a_second_hand_over_of_the_same_prompt_shares_what_is_here() -> None:
    chip = chip_with()
    for name in ("one", "two"):
        seq = Sequence(name, [1, 2, 3, 4, 5], 3)
        assert chip.scheduler.reserve(seq)
        assert seq.num_cached == (0 if name == "one" else 4)
        chip.memory.write(seq, seq.block_ids, seq.num_cached, 5 - seq.num_cached)
        chip.scheduler.received(name, [next_token(seq.token_ids)])
    assert chip.scheduler.blocks.num_free == 16 - 4
    chip.run()


def test_a_reservation_never_overtakes_and_never_overfills() -> None:
    chip = chip_with(num_blocks=4)
    scheduler = chip.scheduler
    assert not scheduler.reserve(Sequence("r", range(7), 2)) or scheduler.abort("r")
    scheduler.add(Sequence("w", [1], 4))
    assert not scheduler.reserve(Sequence("r", [1], 2))  # "w" was first
    chip.turn()
    assert not scheduler.reserve(Sequence("r", range(5), 2))  # 3 blocks left, one is for "w"
    assert scheduler.reserve(Sequence("r", range(3), 2))


def test_kv_that_does_not_come_is_computed_here() -> None:
    chip = chip_with()
    lost, partial = Sequence("lost", [1, 2, 3], 3), Sequence("partial", [3, 2, 1, 0, 2], 3)
    for seq in (lost, partial):
        assert chip.scheduler.reserve(seq)
    chip.scheduler.recompute("lost")
    chip.memory.write(partial, partial.block_ids, 0, 3)
    chip.scheduler.received("partial", num_tokens=3)
    assert shape(chip.turn()) == [("partial", 3, 2, True), ("lost", 0, 3, True)]
    chip.run()
    for seq in (lost, partial):
        assert seq.output_token_ids == reference(seq.prompt_token_ids, 3)


def test_a_sequence_without_room_waits_until_others_have_received() -> None:
    """The only running one may preempt itself; it goes on as soon as there is room again."""
    chip = chip_with(num_blocks=4, caching=False)
    seq = Sequence("s", [1, 2], 5)
    assert chip.scheduler.reserve(Sequence("r", [1, 2, 3], 2))
    chip.scheduler.add(seq)
    for _ in range(3):
        assert chip.turn() is not None
    assert chip.launch() is None
    assert (seq.state, chip.scheduler.num_waiting) == (State.PREEMPTED, 1)
    chip.scheduler.abort("r")
    assert shape(chip.turn())[0][:2] == ("s", 0)
    assert chip.preempted == ["s"]
    chip.run()
    assert seq.output_token_ids == reference([1, 2], 5)


def test_blocks_from_a_pool_are_a_prefix_hit() -> None:
    chip = chip_with()
    scheduler = chip.scheduler
    seq = Sequence("s", [1, 2, 3, 4, 5, 6], 2)
    adoption = scheduler.take_external(seq)
    assert adoption is not None
    assert len(adoption.hashes) == 2  # the last token is computed here, so its block is too
    assert adoption.missing == (0, 1)
    assert scheduler.blocks.lookup(seq.token_ids) == 0
    chip.memory.write(seq, list(adoption.block_ids), 0, 2)
    scheduler.blocks.install(adoption, 1)  # the second one was lost
    scheduler.add(seq)
    assert shape(chip.turn()) == [("s", 2, 4, True)]
    assert seq.num_cached == 2
    with pytest.raises(ValueError, match="with a scheduler already"):
        scheduler.take_external(seq)


def test_approximate_kv_is_never_shared() -> None:
    chip = chip_with(budget=32)
    seq = Sequence("s", [1, 2, 3, 4, 5, 6, 7], 4)
    chip.scheduler.add(seq)
    chip.launch()
    chip.scheduler.mark_approximate("s", 3)
    chip.memory.approximate["s"] = 3
    chip.land(chip.compute())
    assert len(seq.full_block_hashes()) == 1
    assert chip.scheduler.blocks.lookup(seq.token_ids) == 1
    chip.run()
    assert chip.scheduler.blocks.lookup(seq.token_ids) == 1


def test_calls_in_the_wrong_state_change_nothing() -> None:
    chip = chip_with()
    scheduler = chip.scheduler
    scheduler.add(Sequence("w", [1], 3))
    for call in (
        scheduler.finish,
        scheduler.received,
        scheduler.recompute,
        scheduler.preempt,
        scheduler.hold,
        scheduler.release,
    ):
        with pytest.raises(ValueError, match="'w' is waiting"):
            call("w")
    for call in (scheduler.finish, scheduler.hold):
        with pytest.raises(ValueError, match="unknown"):
            call("nobody")
    assert not scheduler.abort("nobody")
    seq = Sequence("r", [1, 2, 3], 2)
    chip.run()
    assert scheduler.reserve(seq)
    for tokens, number, match in (
        ([], None, "none is left to compute"),
        ([1, 1, 1], None, "outputs are wanted"),
        ([], 4, "3 announced"),
    ):
        with pytest.raises(ValueError, match=match):
            scheduler.received("r", tokens, number)
    assert seq.state is State.RECEIVING
    scheduler.check_integrity()
