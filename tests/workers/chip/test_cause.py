"""What a step's energy is spent for: tokens of prompts are prefill, all others decode."""

from workers.chip.batch import Batch
from workers.chip.scheduler import Item
from workers.chip.sequence import Sequence
from workers.hardware.energy.phase import Phase


def item(num_prompt: int, num_outputs: int, start: int, count: int) -> Item:
    seq = Sequence("s", range(num_prompt), 99, range(num_outputs))
    seq.block_ids = [0]
    return Item(seq, start, count, samples=True)


def test_a_chunk_of_a_prompt_is_prefill_and_a_token_after_it_decode() -> None:
    assert Batch([item(10, 0, 0, 10), item(8, 0, 4, 2)]).cause is Phase.PREFILL
    assert Batch([item(10, 3, 12, 1)]).cause is Phase.DECODE


def test_a_step_of_both_is_split_by_tokens() -> None:
    assert Batch([item(10, 0, 0, 10), item(10, 3, 12, 1)]).cause == (10, 1)


def test_of_one_that_is_computed_again_prompt_and_outputs_count_apart() -> None:
    assert Batch([item(10, 3, 8, 5)]).cause == (2, 3)
