"""Who gives whom which layers, heads and tokens: each taker all that it is to hold, each once, over
random degrees, slices and block sizes.
"""

from collections import Counter
from dataclasses import replace
from math import lcm
from random import Random

import numpy as np
import pytest

from configs.families import load_model
from configs.model_config import ModelConfig
from configs.parts import Ranks, parts_of
from configs.presets import model_folder
from configs.shapes.as_config import config_of
from configs.shapes.describe import describe_model
from configs.slices import Slice
from workers.kv.takers import takers_of

TINY = load_model(model_folder("perfuse-tiny"))
LATENT = replace(config_of(describe_model("deepseek-v3"), "v3"), num_layers=4, dense_layers=1)


def drawn(random: Random, config: ModelConfig) -> tuple[Ranks, int, int]:
    """A chip's ranks, how many hold slices of the same keys, and tokens in a block."""
    tensor, pipeline = random.choice((1, 2, 4, 8)), random.choice((1, 1, 2, 3))
    copies = max(1, tensor // config.num_kv_units)
    context = random.choice([d for d in (1, 2, 4, 8) if copies % d == 0])
    ranks = chip(config, tensor, pipeline, context)
    return ranks, context, context * random.choice((4, 6, 8, 12, 16))


def chip(config: ModelConfig, tensor: int, pipeline: int = 1, context: int = 1) -> Ranks:
    parts = parts_of(config, tensor, pipeline, context=context)
    return Ranks(tensor, tuple(f"rank {number}" for number in range(len(parts))), parts)


def units(config: ModelConfig, held: object) -> range:
    first, count = getattr(held, "first", 0), getattr(held, "count", config.num_kv_units)
    return range(first, first + count)


@pytest.mark.parametrize("config", [TINY, LATENT], ids=["4 KV heads", "a latent"])
@pytest.mark.parametrize("seed", range(40))
def test_each_taker_is_given_each_byte_once(config: ModelConfig, seed: int) -> None:
    random = Random(f"takers {seed}")
    source, _, size = drawn(random, config)
    target, _, to_size = drawn(random, config)
    check_given_once(config, source, size, target, to_size)


@pytest.mark.parametrize("source", [1, 2, 4, 8])
@pytest.mark.parametrize("target", [1, 2, 4, 8])
def test_each_rank_is_given_each_head_once(source: int, target: int) -> None:
    check_given_once(TINY, chip(TINY, source), 16, chip(TINY, target), 16)


def check_given_once(
    config: ModelConfig, source: Ranks, size: int, target: Ranks, to_size: int
) -> None:
    num_tokens = lcm(size, to_size)
    tokens = np.arange(num_tokens)
    shape = config.num_layers, config.num_kv_units, num_tokens
    given = {name: np.zeros(shape, dtype=int) for name in target.names}
    for own in source.parts:
        here = Slice.of(own.heads, size)
        for taker in takers_of(own, size, target, to_size):
            seen = here.holds(tokens) & taker.held.holds(tokens)
            assert seen.any(), "nobody is named for nothing"
            for layer in taker.part.layers:
                for unit in units(config, taker.part.heads):
                    given[taker.name][layer, unit] += seen
    for name, part in zip(target.names, target.parts, strict=True):
        wanted = np.zeros(shape, dtype=int)
        heads = units(config, part.heads)
        held = Slice.of(part.heads, to_size).holds(tokens)
        wanted[part.first_layer : part.layers.stop, heads.start : heads.stop] = held
        assert np.array_equal(given[name], wanted), name


@pytest.mark.parametrize("seed", range(40))
def test_ranks_that_hold_the_same_give_in_turns(seed: int) -> None:
    random = Random(f"turns {seed}")
    source, context, size = drawn(random, LATENT)
    target, _, to_size = drawn(random, LATENT)
    num_given = Counter[tuple[int, int, int]]()
    for number, own in enumerate(source.parts):
        copy = 0 if own.heads is None else own.heads.copy
        kind = source.stage(number), copy % context
        num_given[*kind, number] = len(takers_of(own, size, target, to_size))
    for stage, held, _ in list(num_given):
        alike = [n for (s, h, _), n in num_given.items() if (s, h) == (stage, held)]
        assert max(alike) - min(alike) <= 1


def test_two_ranks_with_all_tokens_and_four_with_halves() -> None:
    """The picture of `workers.kv.takers`; then back, where each of two alike gives to one."""
    whole, halves = chip(LATENT, 2), chip(LATENT, 4, context=2)

    def given(source: Ranks, target: Ranks) -> list[list[int]]:
        every = (takers_of(own, 32, target, 32) for own in source.parts)
        return [[target.names.index(taker.name) for taker in takers] for takers in every]

    assert given(whole, halves) == [[0, 2], [1, 3]]
    assert given(halves, whole) == [[0], [0], [1], [1]]
    assert given(halves, halves) == [[0], [1], [2], [3]]


@pytest.mark.parametrize("seed", range(100))
def test_slices_meet_where_a_token_lies_in_both(seed: int) -> None:
    random = Random(f"slices {seed}")

    def one() -> Slice:
        count = random.randint(1, 6)
        return Slice(random.randrange(count), count, count * random.randint(1, 8))

    first, second = one(), one()
    tokens = np.arange(lcm(first.block_size, second.block_size))
    assert first.meets(second) == (first.holds(tokens) & second.holds(tokens)).any()
    assert first.holds(tokens).sum() == first.before(len(tokens))
    positions = first.positions(first.before(len(tokens)))
    assert np.array_equal(np.flatnonzero(first.holds(tokens)), positions)
