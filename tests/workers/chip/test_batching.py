"""Which tokens a step computes, in which order, and what becomes of them."""

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.hash_seeds import printed_under
from tests.workers.chip.driver import (
    PROMPTS,
    SIZE,
    Chip,
    chip_with,
    next_token,
    reference,
    shape,
)
from workers.chip.sequence import Sequence
from workers.chip.step import Item, Step


@settings(max_examples=60, deadline=None)
@given(
    prompts=st.lists(st.tuples(PROMPTS, st.integers(1, 12)), min_size=1, max_size=8),
    num_blocks=st.integers(6, 14),
    seqs=st.integers(1, 5),
    caching=st.booleans(),
)
def test_all_finish_with_the_tokens_that_each_would_have_alone(
    prompts: list[tuple[list[int], int]], num_blocks: int, seqs: int, caching: bool
) -> None:
    chip = chip_with(num_blocks, seqs=seqs, budget=seqs + 2, caching=caching)
    all_seqs = [Sequence(f"s{i}", p, n) for i, (p, n) in enumerate(prompts)]
    for seq in all_seqs:
        chip.scheduler.add(seq)
    chip.run()
    assert chip.scheduler.is_idle
    for seq in all_seqs:
        wanted = min(seq.max_tokens, num_blocks * SIZE - seq.num_prompt)
        assert seq.output_token_ids == reference(seq.prompt_token_ids, wanted)


def test_a_long_prompt_is_computed_in_chunks_of_the_budget() -> None:
    chip = chip_with(budget=4)
    chip.scheduler.add(Sequence("a", range(10), 2))
    steps = [shape(s) for s in chip.run()]
    assert steps == [
        [("a", 0, 4, False)],
        [("a", 4, 4, False)],
        [("a", 8, 2, True)],
        [("a", 10, 1, True)],
    ]


def test_decode_goes_first_and_prefill_gets_the_rest() -> None:
    """Also where the prefill came first: a received sequence does not wait for its chunks."""
    chip = chip_with(budget=4)
    long, short = Sequence("long", range(12), 1), Sequence("short", [1, 2, 3], 9)
    assert chip.scheduler.reserve(short)
    chip.scheduler.add(long)
    assert shape(chip.turn()) == [("long", 0, 4, False)]
    chip.memory.write(short, short.block_ids, 0, 3)
    chip.scheduler.received("short", [next_token(short.token_ids)])
    assert shape(chip.turn()) == [("short", 3, 1, True), ("long", 4, 3, False)]


def test_the_youngest_is_preempted_and_its_outputs_are_prefilled_again() -> None:
    chip = chip_with(num_blocks=6, caching=False)
    old, young = Sequence("old", [0, 1, 0], 7), Sequence("young", [1, 1, 0], 6)
    chip.scheduler.add(old)
    chip.scheduler.add(young)
    steps = chip.run()
    names = [[i.seq.seq_id for i in s.items] for s in steps]
    first = next(n for n, s in enumerate(steps) if s.preempted)
    assert steps[first].preempted == ("young",)
    assert names[first] == ["old"]
    again = next(shape(s) for s in steps[first:] if "young" in [i.seq.seq_id for i in s.items])
    start, count = next((s, c) for name, s, c, _ in again if name == "young")
    assert start == 0
    assert count > young.num_prompt
    assert old.output_token_ids == reference([0, 1, 0], 7)
    assert young.output_token_ids == reference([1, 1, 0], 6)
    assert chip.scheduler.num_preemptions == 1


def received(chip: Chip, *names: str) -> None:
    """The KV of their prompts, and their first tokens, came in this order."""
    for name in names:
        seq = chip.scheduler.get(name)
        assert seq is not None
        chip.memory.write(seq, seq.block_ids, 0, seq.num_prompt)
        chip.scheduler.received(name, [next_token(seq.token_ids)])


def test_the_newest_is_preempted_also_where_its_kv_came_first() -> None:
    """Both have 3 tokens and room for 4; of 4 more blocks each takes one at its 5th token and one
    at its 7th, and none is left for the 9th.
    """
    chip = chip_with(num_blocks=8, caching=False, watermark=0)
    old, new = Sequence("old", [0, 1, 0], 8), Sequence("new", [1, 1, 0], 8)
    assert chip.scheduler.reserve(old) and chip.scheduler.reserve(new)
    received(chip, "new", "old")
    chip.run()
    assert chip.preempted == ["new"]
    assert (old.num_outputs, new.num_outputs) == (8, 8)
    assert new.output_token_ids == reference([1, 1, 0], 8)


def test_who_was_in_the_step_already_may_be_the_victim_of_an_older_one() -> None:
    """4 blocks: `new` has 4 tokens and room for them, so it comes into the second step; then `old`
    finds none for its 5th.
    """
    chip = chip_with(num_blocks=4, caching=False, watermark=0)
    old, new = Sequence("old", [0, 1, 0], 5), Sequence("new", [1, 1], 5)
    assert chip.scheduler.reserve(old) and chip.scheduler.reserve(new)
    received(chip, "new", "old")
    assert shape(chip.turn()) == [("new", 2, 1, True), ("old", 3, 1, True)]
    assert shape(chip.turn()) == [("old", 4, 1, True)]
    assert chip.preempted == ["new"]
    chip.run()
    assert old.output_token_ids == reference([0, 1, 0], 5)
    assert new.output_token_ids == reference([1, 1], 5)


@settings(max_examples=60, deadline=None)
@given(
    lengths=st.lists(st.tuples(st.integers(1, 9), st.integers(1, 12)), min_size=2, max_size=8),
    num_blocks=st.integers(11, 14),
    watermark=st.integers(0, 2),
)
def test_the_oldest_is_never_preempted_and_all_end_in_time(
    lengths: list[tuple[int, int]], num_blocks: int, watermark: int
) -> None:
    """Whoever came first of those that are left has a token in each step. So even if nobody else
    got anything, n requests of at most 12 tokens and 3 chunks of prompt would take 15 n steps.
    """
    chip = chip_with(num_blocks, caching=False, seqs=8, budget=8, watermark=watermark)
    seqs = [Sequence(f"s{i}", [i % 2] * n, m) for i, (n, m) in enumerate(lengths)]
    for seq in seqs:
        chip.scheduler.add(seq)
    num_steps = 0
    while open_ones := [seq for seq in seqs if chip.scheduler.get(seq.seq_id)]:
        step = chip.turn()
        assert step is not None and open_ones[0] in [item.seq for item in step.items]
        assert open_ones[0].seq_id not in step.preempted
        num_steps += 1
    assert num_steps <= 15 * len(seqs)
    assert all(
        seq.output_token_ids == reference(seq.prompt_token_ids, seq.max_tokens) for seq in seqs
    )


def test_blocks_of_an_aborted_sequence_are_not_reused_while_its_step_runs() -> None:
    chip = chip_with(num_blocks=4)
    chip.scheduler.add(Sequence("a", range(5), 3))
    chip.launch()
    assert chip.scheduler.abort("a")
    assert chip.scheduler.blocks.num_free == 1
    assert not chip.scheduler.is_idle
    assert not chip.scheduler.reserve(Sequence("r", range(3), 2))
    assert chip.land(chip.compute()) == ()
    assert chip.scheduler.blocks.num_free == 4
    assert chip.scheduler.is_idle


def test_an_abandoned_step_is_scheduled_again() -> None:
    chip = chip_with()
    chip.scheduler.add(Sequence("a", range(5), 1))
    first = chip.launch()
    assert first is not None
    chip.scheduler.abandon(first)
    assert shape(chip.launch()) == shape(first)


def test_only_one_step_at_a_time_and_all_of_its_tokens() -> None:
    chip = chip_with()
    chip.scheduler.add(Sequence("a", [1], 3))
    step = chip.launch()
    assert step is not None
    with pytest.raises(ValueError, match="in flight"):
        chip.scheduler.schedule()
    with pytest.raises(ValueError, match=r"no sampled token for \['a'\]"):
        chip.scheduler.advance(step, {})
    with pytest.raises(ValueError, match="not the step in flight"):
        chip.scheduler.advance(Step((), (), 0), {})
    chip.scheduler.advance(step, {"a": 0})
    with pytest.raises(ValueError, match="not the step in flight"):
        chip.scheduler.advance(step, {"a": 0})


def trace() -> Iterator[str]:
    """A crowded run with hand-overs, preemptions and aborts; one line a step."""
    chip = chip_with(num_blocks=10, seqs=4, budget=6)
    for n in range(12):
        chip.scheduler.add(Sequence(f"s{n}", [n % 2, 1, 0, n % 3][: 1 + n % 4], 3 + n % 5))
    chip.scheduler.abort("s3")
    while (step := chip.turn()) is not None:
        yield f"{shape(step)} {[i.seq.block_ids for i in step.items]} {step.preempted}"
    yield f"{chip.scheduler.num_preemptions} {chip.scheduler.num_prefix_hits}"


def test_same_calls_same_steps_whatever_the_hash_seed() -> None:
    here = list(trace())
    assert here == list(trace())
    code = "from tests.workers.chip.test_batching import trace; print('\\n'.join(trace()))"
    for seed in ("1", "2"):
        assert printed_under(seed, code).splitlines() == here


def test_an_item_is_plain_and_frozen() -> None:
    item = Item(Sequence("s", [1], 1), 0, 1, True)
    with pytest.raises(AttributeError):
        item.start = 1  # type: ignore[misc]
