"""What ranks that hold slices of the same keys ask for, beside counting one by one."""

import random

import numpy as np

from configs.families import load_model
from configs.heads import Heads
from configs.model_config import ModelConfig
from configs.presets import model_folder
from configs.slices import Slice
from workers.model.base import StepLayout, StepSequence
from workers.model.sliced import sliced
from workers.model.work import WorkModel


def test_each_token_lies_in_one_slice() -> None:
    for count, block_size in ((1, 16), (2, 16), (4, 32), (3, 12)):
        size = block_size // count
        for number in range(count):
            held = Slice(number, count, block_size)
            here = [p for p in range(100) if p % block_size // size == number]
            for end in range(100):
                assert held.before(end) == sum(p < end for p in here)
            ends = np.arange(100)
            assert held.before(ends).tolist() == [held.before(end) for end in range(100)]


def drawn(rng: random.Random, block_size: int) -> StepLayout:
    sequences = []
    for _ in range(rng.randint(1, 4)):
        start, count = rng.randint(0, 300), rng.choice((1, 1, rng.randint(1, 90)))
        blocks = tuple(range(-(-(start + count) // block_size)))
        sequences.append(StepSequence(blocks, start, count))
    return StepLayout(tuple(sequences))


def amounts(config: ModelConfig, layout: StepLayout, held: Slice) -> dict[str, int]:
    found = sliced(WorkModel(config), 1, layout, held)
    together = found.queries.amounts()
    for name, amount in found.own.amounts().items():
        together[f"own {name}"] = amount
    return together


def test_ranks_share_bytes_and_pairs_of_the_whole() -> None:
    """Each rank has half of the heads that look at a KV head, and half of its tokens: together they
    read and write each key once, and all heads meet all keys.
    """
    whole, rng = load_model(model_folder("perfuse-tiny")), random.Random(7)
    both = Heads(0, 1).part_of(whole)
    half = Heads(0, 1, 0, 2, 2).part_of(whole)
    for _ in range(50):
        layout = drawn(rng, 32)
        each = [amounts(half, layout, Slice(number, 2, 32)) for number in range(2)]
        want = WorkModel(both).attend_apart(1, layout, 32)
        total = {name: sum(one.get(name, 0) for one in each) for name in {**each[0], **each[1]}}
        assert total["hbm.write"] == want.queries.amounts()["hbm.write"]
        for name, amount in want.own.amounts().items():
            assert total[f"own {name}"] == amount, name
