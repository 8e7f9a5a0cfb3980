"""Declared work equals what counting one by one gives."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from configs.families import load_model
from configs.model_config import ModelConfig
from configs.precision import Precision
from tests.workers.model.models import DEEPSEEK_V3, write_config
from workers.hardware.work import Demand
from workers.model.base import StepLayout, StepSequence
from workers.model.work import WorkModel


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> ModelConfig:
    return load_model(write_config(tmp_path_factory.mktemp("work")))


@pytest.fixture(scope="module")
def deepseek(tmp_path_factory: pytest.TempPathFactory) -> ModelConfig:
    return load_model(write_config(tmp_path_factory.mktemp("work"), DEEPSEEK_V3))


def operations(flops: Counter[str]) -> dict[str, int]:
    """By resource; what is none at all is not asked for."""
    return {f"compute.{dtype}": count for dtype, count in flops.items() if count}


@given(st.lists(st.tuples(st.integers(0, 90), st.integers(1, 40)), max_size=5))
def test_attention(config: ModelConfig, sequences: list[tuple[int, int]]) -> None:
    layout = StepLayout(tuple(StepSequence((), start, count) for start, count in sequences))
    work = WorkModel(config, Precision("bf16", "int8"), tier="hbf", kv_tier="hbm").attend(1, layout)
    flops, keys = Counter[str](), 0
    for start, count in sequences:
        for position in range(start, start + count):
            # q, k, v and o projections, gate, then scores and values over all keys up to this one.
            flops["bf16"] += 2 * 32 * (32 + 16 + 16 + 32)
            flops["fp32"] += 2 * 32 * 4
            flops["int8"] += (position + 1) * 2 * 2 * 32
        keys += start + count
    weights, kept = 32 * (32 + 16 + 16 + 32), 2 * 32 + 2 * 8 + 4 * 32
    row = 2 * (16 + 2 * 4)  # key and value of two heads, and each head's two scales
    assert work.amounts() == operations(flops) | {
        "hbf.read": 2 * weights + 4 * kept,
        "hbm.read": keys * row,
        "hbm.write": layout.num_tokens * row,
    }


@pytest.mark.parametrize("streams", [False, True])
@given(st.lists(st.tuples(st.integers(0, 90), st.integers(1, 40)), max_size=5), st.integers(0, 2))
def test_three_launches_ask_for_what_one_does(
    deepseek: ModelConfig, streams: bool, sequences: list[tuple[int, int]], layer: int
) -> None:
    layout = StepLayout(tuple(StepSequence((), start, count) for start, count in sequences))
    counts = WorkModel(deepseek, Precision("bf16", "int8"), tier="hbf", streams=streams)
    together = Counter[str]()
    for work in counts.attend_apart(layer, layout, 16):
        together.update(work.amounts())
    assert +together == +Counter(counts.attend(layer, layout).amounts())


def test_far_keys_are_neither_met_nor_read(config: ModelConfig) -> None:
    """Two far blocks of 16 leave 8 of 40 keys and the token's own."""
    counts = WorkModel(config)
    far, near = (
        counts.attend_apart(0, StepLayout((StepSequence((), start, 1, num_far),)), 16)
        for start, num_far in ((40, 2), (8, 0))
    )
    assert far == near


@given(st.lists(st.tuples(st.integers(0, 90), st.integers(1, 40)), max_size=5), st.integers(0, 2))
def test_latent_attention(deepseek: ModelConfig, sequences: list[tuple[int, int]], layer: int):
    """A token leaves one latent and one rotated key; a dense layer has neither gate nor bias."""
    layout = StepLayout(tuple(StepSequence((), start, count) for start, count in sequences))
    work = WorkModel(deepseek, Precision("bf16", "bf16"), tier="hbf", kv_tier="hbm").attend(
        layer, layout
    )
    # Queries down and up, latent and rotated key, keys and values up, out.
    projections = 32 * 20 + 20 * 4 * 12 + 32 * (16 + 4) + 4 * (8 + 12) * 16 + 4 * 12 * 32
    network, gate = (3 * 32 * 44, 0) if layer == 0 else (3 * 32 * 24, 32 * 8)
    gains = 2 * 32 + 20 + 16 + (0 if layer == 0 else 8)
    flops, keys = Counter[str](), 0
    for start, count in sequences:
        for position in range(start, start + count):
            pair = 4 * (16 + 4) + 4 * 16  # four heads' scores over a row, then its latent
            flops["bf16"] += 2 * (projections + network) + (position + 1) * 2 * pair
            flops["fp32"] += 2 * gate
        keys += start + count
    stored = 2 * (projections + network) + 4 * (gate + gains)
    stored += 0 if layer else 2 * 32 * layout.num_tokens  # each token's row of the embedding
    assert work.amounts() == operations(flops) | {
        "hbf.read": stored,
        "hbm.read": 2 * keys * 20,
        "hbm.write": layout.num_tokens * 2 * 20,
    }


def test_latents_in_int8_meet_queries_in_bf16(deepseek: ModelConfig) -> None:
    """They are widened first; the row has a scale each of latent and rotated key."""
    layout = StepLayout((StepSequence((), 6, 1),))
    work = WorkModel(deepseek, Precision("int8", "int8"), kv_tier="hbf").attend(0, layout)
    amounts = work.amounts()
    assert amounts["compute.bf16"] == 2 * 7 * (4 * (16 + 4) + 4 * 16)
    assert (amounts["hbf.read"], amounts["hbf.write"]) == (7 * 28, 28)


def test_one_tier_adds_weights_and_kv(config: ModelConfig) -> None:
    layout = StepLayout((StepSequence((0,), 3, 1),))
    work = WorkModel(config).attend(1, layout)
    assert work.amounts()["hbm.read"] == config.layer_bytes(0, 4) + 4 * 2 * 16 * 4
    reads = [demand for demand in work.demands if demand.resource == "hbm.read"]
    assert len(reads) == 1, "one access, whose sum is rounded to pages"


@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize("head_tier", [None, "hbm"])
def test_a_token_s_row_of_the_embedding_is_an_access_of_its_own(
    config: ModelConfig, head_tier: str | None, streams: bool
) -> None:
    """5 tokens of 32 numbers in 2 bytes, from where the embedding lies, in the first layer alone;
    which rows nobody knows before, so they are not read ahead.
    """
    counts = WorkModel(
        config, Precision("bf16", "bf16"), tier="hbf", kv_tier="sram", head_tier=head_tier,
        streams=streams,
    )  # fmt: skip
    layout = StepLayout((StepSequence((0,), 3, 1), StepSequence((1,), 0, 4)))
    rows = Demand(f"{head_tier or 'hbf'}.read", 5 * 64, 5)
    first, second = (counts.attend(layer, layout).demands for layer in (0, 1))
    assert first == (rows, *second)
    apart, apart_later = (counts.attend_apart(layer, layout, 16) for layer in (0, 1))
    assert apart.queries.demands == (rows, *apart_later.queries.demands)
    assert counts.attend(0, StepLayout(())).demands == counts.attend(1, StepLayout(())).demands


def test_a_copy_counts_anew(config: ModelConfig) -> None:
    layout, experts_TK = StepLayout((StepSequence((0,), 3, 1),)), np.array([[0, 1]], np.int32)
    counts = WorkModel(config)
    counts.attend(1, layout), counts.experts(experts_TK, (0, 1))
    other = replace(counts, tier="hbf")
    assert other.attend(1, layout) == WorkModel(config, tier="hbf").attend(1, layout)
    assert "hbf.read" in other.experts(experts_TK, (0, 1)).amounts()


def test_logits(config: ModelConfig) -> None:
    work = WorkModel(config, Precision("bf16", "bf16")).logits(3)
    assert work.amounts() == {"compute.bf16": 3 * 2 * 32 * 61, "hbm.read": 2 * 32 * 61}
    assert WorkModel(config).logits(0).demands == ()


@given(st.lists(st.lists(st.integers(-1, 3), min_size=2, max_size=2), max_size=12))
def test_each_active_expert_is_read_once(config: ModelConfig, routed: list[list[int]]) -> None:
    experts_TK = np.array(routed, dtype=np.int32).reshape(-1, 2)
    held = (1, 3)
    work = WorkModel(config).experts(experts_TK, held)
    mine = [e for row in routed for e in row if e in held]
    assert work.amounts() == {
        "compute.fp32": len(mine) * 3 * 2 * 32 * 24,
        "hbm.read": len(dict.fromkeys(mine)) * 3 * 32 * 24 * 4,
    }


@pytest.mark.parametrize("held", [(0, 2), tuple(range(5))])
def test_many_ids_are_counted_for_few_experts_and_for_many(
    deepseek: ModelConfig, held: tuple[int, ...]
) -> None:
    """100 ids, which is more than are counted in a list: 40 x (0, 1), then 10 x (1, NOBODY)."""
    experts_TK = np.array([[0, 1]] * 40 + [[1, -1]] * 10, dtype=np.int32)
    counted = WorkModel(deepseek).expert_tokens(experts_TK, held)
    assert counted == tuple({0: 40, 1: 50}.get(expert, 0) for expert in held)


def test_hot_experts_are_read_where_they_lie(config: ModelConfig) -> None:
    experts_TK = np.array([[0, 1], [0, 2]], dtype=np.int32)  # 0, 1 and 2 are active, 3 is not
    model = WorkModel(config, tier="hbf", hot_tier="hbm", hot=frozenset({0, 3}))
    one = 3 * config.hidden * config.moe_intermediate * 4
    amounts = model.experts(experts_TK, (0, 1, 2, 3)).amounts()
    assert (amounts["hbf.read"], amounts["hbm.read"]) == (2 * one, one)
    assert amounts["compute.fp32"] == 4 * one // 2  # two tokens of two experts
    near = replace(model, hot_engine="die").experts(experts_TK, (0, 1, 2, 3)).amounts()
    assert (near["die.fp32"], near["compute.fp32"]) == (2 * one // 2, 2 * one // 2)
    alone = replace(model, hot_engine="die").experts(np.array([[0, 3]], np.int32), (0, 3))
    assert "compute.fp32" not in alone.amounts(), "no cold one is asked for"
    together = WorkModel(config, hot_tier="hbm", hot=frozenset({0, 3}))
    assert together.experts(experts_TK, (0, 1, 2, 3)).amounts()["hbm.read"] == 3 * one


def test_the_vocabulary_projection_is_read_where_it_lies(config: ModelConfig) -> None:
    amounts = WorkModel(config, tier="hbf", head_tier="hbm").logits(1).amounts()
    assert amounts["hbm.read"] == config.hidden * config.vocab * 4 and "hbf.read" not in amounts


def test_experts_that_lie_apart_are_read_in_pieces(config: ModelConfig) -> None:
    """Two active experts of five reads each; the bytes are the same."""
    experts_TK = np.array([[0, 1]], np.int32)
    whole = WorkModel(config).experts(experts_TK, (0, 1, 2))
    apart = WorkModel(config, expert_reads=5).experts(experts_TK, (0, 1, 2))
    assert apart.amounts() == whole.amounts()
    assert [demand.accesses for demand in apart.demands] == [1, 10]
    idle = WorkModel(config, expert_reads=5).experts(np.array([[7]], np.int32), (0, 1, 2))
    assert [demand.accesses for demand in idle.demands] == [1, 1]
