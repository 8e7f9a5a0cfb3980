"""Which part of a model each rank of a chip holds: together the whole, each head of each layer
once.
"""

from dataclasses import replace

import numpy as np
import pytest

from configs.attention import Mla
from configs.families import load_model
from configs.heads import Heads
from configs.model_config import ModelConfig
from configs.parts import Part, Ranks, parts_of
from configs.precision import EXACT, Precision
from configs.presets import model_folder
from configs.shapes.as_config import config_of
from configs.shapes.describe import describe_model
from configs.stages import stages_of

TINY = load_model(model_folder("perfuse-tiny"))
DEEPSEEK = replace(TINY, dense_layers=1, dense_intermediate=250)
TWELVE = replace(TINY, num_heads=12)


@pytest.mark.parametrize("tensor", [1, 2, 4])
@pytest.mark.parametrize("pipeline", [1, 2, 4])
def test_ranks_hold_each_head_of_each_layer_once(tensor: int, pipeline: int) -> None:
    held = np.zeros((TINY.num_layers, TINY.num_kv_heads), dtype=int)
    parts = parts_of(TINY, tensor, pipeline)
    for part in parts:
        heads = part.heads or Heads(0, TINY.num_kv_heads)
        held[part.layers, heads.first : heads.first + heads.count] += 1
    assert (held == 1).all()
    kv = [EXACT.kv_bytes_per_token(part.of(TINY)) for part in parts]
    assert sum(kv) == EXACT.kv_bytes_per_token(TINY) and len(set(kv)) == 1
    ranks = Ranks(tensor, tuple(f"r{i}" for i in range(len(parts))), parts)
    assert [part.projects for part in parts].index(True) == ranks.leader
    assert sum(part.projects for part in parts) == 1
    assert [part.embeds for part in parts] == [True] * tensor + [False] * (len(parts) - tensor)


def test_more_ranks_than_kv_heads_hold_some_of_these_twice() -> None:
    """Eight query heads, four KV heads, eight ranks: each computes one and holds one."""
    parts = parts_of(TINY, 8, 1)
    heads = [part.heads for part in parts]
    assert heads[:3] == [Heads(0, 1, 0, 2), Heads(0, 1, 1, 2), Heads(1, 1, 0, 2)]
    asked = [each.queries(TINY) for each in heads if each is not None]
    assert [query for queries in asked for query in queries] == list(range(8))
    # By hand, in fp32: a key and a value of 32 numbers in each of 4 layers.
    assert {EXACT.kv_bytes_per_token(part.of(TINY)) for part in parts} == {4 * 2 * 32 * 4}
    held = parts[5].of(TINY)
    one_head = 128 * 32  # of q, of k, of v and of o alike
    norms, gate = 2 * 128 + 2 * 32, 128 * 8
    assert EXACT.layer_bytes(held, 0) == 4 * (4 * one_head + norms + gate)


def test_every_rank_holds_the_latent_and_its_share_of_the_rest() -> None:
    """Kimi-K2, 64 heads over 8 ranks, by hand (`configs.attention`): 7,168 wide."""
    config = config_of(describe_model("kimi-k2"), "kimi-k2")
    whole = Precision("bf16", "bf16")
    for part in parts_of(config, 8, 1):
        held = part.of(config)
        assert whole.kv_bytes_per_token(held) == whole.kv_bytes_per_token(config)
        down, up = 7168 * (1536 + 512 + 64), 8 * (192 * 1536 + 512 * 256 + 128 * 7168)
        shared, gate = 3 * 7168 * 2048 // 8, 7168 * 384
        assert held.layer_weights(1) == down + up + shared + gate
        assert held.layer_weights(0) == down + up + 3 * 7168 * 18432 // 8
        computed = Mla(7168, 8, 1536, 512, 128, 64, 128)
        assert computed.num_weights == down + up


def test_what_a_rank_has_of_the_vocabulary() -> None:
    """perfuse-tiny's embedding is its projection: 512 rows of 128 in fp32, once where both are."""
    matrix = 512 * 128 * 4
    untied = replace(TINY, tie_embeddings=False)
    for embeds, projects, tied_bytes, untied_bytes in (
        (True, True, matrix, 2 * matrix),
        (True, False, matrix, matrix),
        (False, True, matrix, matrix),
        (False, False, 0, 0),
    ):
        part = Part(0, 4, None, embeds, projects)
        assert part.embeddings_bytes(TINY, EXACT) == tied_bytes
        assert part.embeddings_bytes(untied, EXACT) == untied_bytes


def test_dense_layers_are_in_the_first_stage() -> None:
    sizes = [part.of(DEEPSEEK) for part in parts_of(DEEPSEEK, 1, 2)]
    assert [(s.num_layers, s.dense_layers) for s in sizes] == [(2, 1), (2, 0)]


@pytest.mark.parametrize(
    ("tensor", "pipeline", "config", "why"),
    [
        (
            3,
            1,
            TINY,
            "tensor_parallel_size: is 3, which does not divide the model's 8 query heads: .* is 2",
        ),
        (16, 1, TINY, "is 16, which does not divide the model's 8 query heads: .* is 8"),
        (3, 1, TWELVE, "is 3, which neither divides .* 4 KV heads nor is divided by them: .* is 2"),
        (1, 5, TINY, "pipeline_parallel_size: is 5, .* 4 layers, .*: the nearest .* is 4"),
        (4, 1, DEEPSEEK, "is 4, which does not divide the inner width 250 of .*: .* is 2"),
    ],
)
def test_a_degree_that_does_not_divide_is_refused_with_the_nearest_that_would_do(
    tensor: int, pipeline: int, config: ModelConfig, why: str
) -> None:
    with pytest.raises(ValueError, match=why):
        parts_of(config, tensor, pipeline)


@pytest.mark.parametrize(
    ("num_layers", "layers"),
    [
        (61, (61,)),
        (61, (31, 30)),
        (61, (20, 21, 20)),
        (61, (15, 15, 16, 15)),
        (62, (15, 16, 16, 15)),
        (63, (16, 16, 16, 15)),
        (64, (16, 16, 16, 16)),
        (5, (1, 1, 2, 1)),
        (4, (1, 1, 1, 1)),
    ],
)
def test_layers_that_are_left_over_stand_where_vllm_puts_them(
    num_layers: int, layers: tuple[int, ...]
) -> None:
    """`get_pp_indices`, by hand: from the last stage but one backwards."""
    stages = stages_of(num_layers, len(layers))
    assert tuple(map(len, stages)) == layers
    assert [layer for stage in stages for layer in stage] == list(range(num_layers))


def test_stages_may_be_given() -> None:
    assert stages_of(61, 2, (40, 21)) == (range(40), range(40, 61))
    for given, nearest in (((31, 31), "31, 30"), ((31, 29), "31, 30"), ((61, 3), "31, 30")):
        total = sum(given)
        why = rf"pipeline_layers: are {total} .* 61 layers: the nearest .* is \[{nearest}\]"
        with pytest.raises(ValueError, match=why):
            stages_of(61, 2, given)


def test_a_stage_of_a_described_model_has_the_sizes_of_its_own_layers() -> None:
    """Three dense layers come first: a stage behind them holds none of these."""
    config = config_of(describe_model("kimi-k2"), "kimi-k2")
    precision = Precision("bf16", "bf16")
    parts = [part.of(config) for part in parts_of(config, 1, 4)]
    assert [part.num_layers for part in parts] == [15, 15, 16, 15]
    assert [part.dense_layers for part in parts] == [config.dense_layers, 0, 0, 0]
    for part, first in zip(parts, (0, 15, 30, 46), strict=True):
        for layer in range(part.num_layers):
            of_all = precision.layer_bytes(config, first + layer)
            assert precision.layer_bytes(part, layer) == of_all
    assert sum(map(precision.kv_bytes_per_token, parts)) == precision.kv_bytes_per_token(config)


@pytest.mark.parametrize("tensor", [1, 2, 4])
@pytest.mark.parametrize("pipeline", [1, 2, 3, 4])
def test_what_two_chips_have_in_common_is_all_that_either_needs(tensor: int, pipeline: int) -> None:
    """A block that is cut at one chip and put together at another is whole."""
    block = np.arange(4 * 2 * 3 * 4 * 5).reshape(1, 4, 2, 3, 4, 5)
    whole = Part(0, 4)
    of_two = parts_of(TINY, 2, 2), parts_of(TINY, 1, 2, (3, 1))
    for sources in (*of_two, parts_of(TINY, 4, 1), parts_of(TINY, 1, 3), parts_of(TINY, 1, 1)):
        for wanted in parts_of(TINY, tensor, pipeline):
            layers, heads = whole.window_of(wanted)
            expected = block[:, layers, :, :, heads]
            got = np.full_like(expected, -1)
            for source in sources:
                common = source.common(wanted)
                if common is None:
                    continue
                own_layers, own_heads = whole.window_of(source)
                own = block[:, own_layers, :, :, own_heads]
                from_layers, from_heads = source.window_of(common)
                to_layers, to_heads = wanted.window_of(common)
                cut = own[:, from_layers, :, :, from_heads]
                got[:, to_layers, :, :, to_heads] = cut
            assert np.array_equal(got, expected)
