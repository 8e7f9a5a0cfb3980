"""Several steps in flight, as in a pipeline: each has other sequences and its share of them, nobody
loses blocks that a kernel may still write, and everybody ends with the right tokens.
"""

from random import Random

import pytest

from tests.workers.chip.driver import SIZE, Memory, next_token, reference
from workers.chip.scheduler import Scheduler, Step
from workers.chip.sequence import Sequence, State
from workers.kv.blocks import BlockManager


def scheduler(max_steps: int, num_blocks: int = 64, budget: int = 16) -> Scheduler:
    return Scheduler(
        BlockManager(num_blocks, SIZE),
        max_num_seqs=8,
        max_num_batched_tokens=budget,
        max_model_len=64,
        watermark_blocks=1,
        max_steps=max_steps,
    )


def tokens_of(step: Step) -> dict[str, int]:
    return {i.seq.seq_id: next_token(i.seq.token_ids) for i in step.items if i.samples}


def test_each_step_has_its_share() -> None:
    """Eight sequences over two steps: four each, then the same four again as theirs has landed."""
    chip = scheduler(2, budget=32)
    for number in range(8):
        chip.add(Sequence(f"s{number}", [number + 1], 9))
    first, second = chip.schedule(), chip.schedule()
    assert first is not None and second is not None
    ids = [[item.seq.seq_id for item in step.items] for step in (first, second)]
    assert ids == [["s0", "s1", "s2", "s3"], ["s4", "s5", "s6", "s7"]]
    with pytest.raises(ValueError, match="a step is in flight"):
        chip.schedule()
    chip.advance(second, tokens_of(second))
    again = chip.schedule()
    assert again is not None and [item.seq.seq_id for item in again.items] == ids[1]
    chip.check_integrity()


def test_nobody_is_preempted_beside_a_step_in_flight() -> None:
    """Three blocks of two tokens: who has none for its third waits until nothing flies."""
    chip = scheduler(2, num_blocks=3)
    for name in ("a", "b"):
        chip.add(Sequence(name, [ord(name)], 9))
    first, second = chip.schedule(), chip.schedule()
    assert first is not None and second is not None
    for step in (first, second):
        chip.advance(step, tokens_of(step))
    first, second = chip.schedule(), chip.schedule()
    assert first is not None and second is not None
    chip.advance(first, tokens_of(first))
    third = chip.schedule()  # into the block that is left
    assert third is not None and [item.seq.seq_id for item in third.items] == ["a"]
    chip.advance(second, tokens_of(second))
    assert chip.schedule() is None and chip.num_preemptions == 0
    chip.advance(third, tokens_of(third))
    alone = chip.schedule()
    assert alone is not None and [item.seq.seq_id for item in alone.items] == ["a"]
    assert chip.num_preemptions == 0, "the oldest goes on, and takes b's when it needs one"
    chip.check_integrity()


@pytest.mark.parametrize("seed", range(12))
def test_whoever_comes_and_goes_ends_with_its_own_tokens(seed: int) -> None:
    random = Random(seed)
    chip = scheduler(random.randint(2, 4), random.choice((10, 14, 40)), random.choice((8, 16)))
    memory = Memory(SIZE)
    flying: list[tuple[Step, list[list[int]]]] = []
    made: list[Sequence] = []
    num_ended = 0
    for turn in range(4_000):
        if turn < 200 and random.random() < 0.15:
            prompt = [random.randint(1, 5) for _ in range(random.randint(1, 12))]
            made.append(Sequence(f"s{len(made)}", prompt, random.randint(1, 12)))
            chip.add(made[-1])
        if made and turn < 200 and random.random() < 0.05:
            chip.abort(random.choice(made).seq_id)
        if not chip.is_full and random.random() < 0.7:
            step = chip.schedule()
            if step is not None:
                flying.append((step, [list(item.seq.block_ids) for item in step.items]))
        elif flying and (random.random() < 0.7 or turn >= 200):
            step, tables = flying.pop(0)
            for item, table in zip(step.items, tables, strict=True):
                memory.write(item.seq, table, item.start, item.count)
                if item.seq.state is State.RUNNING:
                    memory.check(item.seq, table, item.start + item.count)
            if random.random() < 0.05:
                chip.abandon(step)
            else:
                for seq in chip.advance(step, tokens_of(step)):
                    chip.finish(seq.seq_id)
                    right = reference(seq.prompt_token_ids, seq.num_outputs)
                    assert seq.output_token_ids == right
                    num_ended += 1
        chip.check_integrity()
        if turn >= 200 and chip.is_idle:
            break
    assert chip.is_idle and num_ended > 10, "everybody has ended"
