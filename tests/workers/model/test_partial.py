"""Attention in parts: however keys are split over holders, merging gives attention over all."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from configs.families import load_model
from configs.precision import EXACT, Precision
from kernels import mla
from kernels.paged.layout import Layout, Span
from tests.workers.model.models import KERNEL_QWEN, KERNEL_V3, write_config
from workers.model.parts.kv_form import KvForm
from workers.model.parts.partial import Part, PartOf, merged

SIZE, HEADS, WIDTH = 16, 3, 5
# The kernels' own (`tests/kernels/test_attention.py`), of the norm of what is right.
TOLERANCE = {"fp32": 2e-6, "bf16": 3e-3, "int8": 8e-3}


def whole(scores: Any, values: Any) -> Part:
    """Attention of T queries over S keys, in float64: scores [T, N, S], values [S, N, D]."""
    if scores.shape[-1] == 0:
        return Part(
            np.full((*scores.shape[:2], values.shape[-1]), 7, np.float32),  # counts for nothing
            np.full(scores.shape[:2], -np.inf, np.float32),
        )
    most = scores.max(axis=-1, keepdims=True)
    weights = np.exp(scores - most)
    total = weights.sum(axis=-1, keepdims=True)
    out = np.einsum("tns,snd->tnd", weights / total, values)
    lse = (most + np.log(total))[..., 0]
    return Part(out.astype(np.float32), lse.astype(np.float32))


@given(st.lists(st.integers(0, 3), max_size=40), st.integers(0, 2**32 - 1), st.floats(0.1, 60))
def test_any_split_of_keys_merges_to_attention_over_all(
    holders: list[int], seed: int, spread: float
) -> None:
    """Key i is with holder holders[i]; 0 is the chip itself. Some hold none."""
    rng = np.random.default_rng(seed)
    keys = len(holders)
    scores = rng.normal(0, spread, (2, HEADS, keys))
    values = rng.normal(0, 1, (keys, HEADS, WIDTH))
    of = np.array(holders, dtype=np.int64)
    parts = [whole(scores[..., of == h], values[of == h]) for h in range(4)]
    rows = np.arange(2)
    got = merged(parts[0], [PartOf(rows, part) for part in parts[1:]])
    want = whole(scores, values).out_TND if keys else np.zeros((2, HEADS, WIDTH))
    np.testing.assert_allclose(got, want, atol=2e-5)


def test_rows_that_nobody_else_has_a_part_of_keep_their_bits() -> None:
    rng = np.random.default_rng(3)
    own = Part(
        rng.normal(size=(3, HEADS, WIDTH)).astype(np.float32),
        rng.normal(size=(3, HEADS)).astype(np.float32),
    )
    other = Part(own.out_TND[:1] + 1, own.lse_TN[:1])
    got = merged(own, [PartOf(np.array([1]), other)])
    np.testing.assert_array_equal(got[[0, 2]], own.out_TND[[0, 2]])
    half = (
        own.out_TND[1].astype(np.float64)
        + other.out_TND[0] * np.exp((other.lse_TN[0] - own.lse_TN[1]).astype(np.float64))[:, None]
    )
    half /= 1 + np.exp((other.lse_TN[0] - own.lse_TN[1]).astype(np.float64))[:, None]
    np.testing.assert_allclose(got[1], half, rtol=1e-5)


@pytest.fixture(params=[KERNEL_QWEN, KERNEL_V3], ids=["grouped", "latent"])
def sizes(request: pytest.FixtureRequest) -> dict[str, Any]:
    chosen: dict[str, Any] = request.param
    return chosen


@pytest.mark.parametrize("kind", ["fp32", "bf16", "int8"])
@pytest.mark.parametrize(
    "owners", [[0] * 6, [1, 2, 1, 2, 1, 0], [1, 1, 1, 1, 1, 0], [2, 1, 3, 3, 1, 0]]
)
def test_any_split_of_blocks_over_holders(
    tmp_path: Any, sizes: dict[str, Any], kind: Any, owners: list[int]
) -> None:
    """Blocks travel as bytes, all layers or one, and are attended to where they are."""
    config = load_model(write_config(tmp_path, sizes))
    precision = EXACT if kind == "fp32" else Precision("bf16", kind)
    form, rng, layer = KvForm(config, precision, SIZE), np.random.default_rng(1), 1
    chip, position = filled(form, 6), 6 * SIZE - 3
    q_TND = rng.normal(size=(1, *form.query_shape)).astype(np.float32)
    want = form.attend(chip, layer, q_TND, Layout([Span(position, 1, range(6))])).out_TND
    num_far = owners.index(0)
    ids = list(range(num_far, 6))
    own = form.attend(chip, layer, q_TND, Layout([Span(position, 1, ids, num_far * SIZE)]))
    others = []
    for holder in sorted(set(owners) - {0}):
        held = np.array([i for i, owner in enumerate(owners) if owner == holder])
        server, shipped = form.cache(9), form.cache(len(held), num_layers=1)
        places = np.arange(len(held)) + 2
        blocks = chip.read_blocks(held)
        server.write_blocks(places, blocks)
        span = Span(len(held) * SIZE, 1, places, 0, len(held) * SIZE)
        part = form.attend(server, layer, q_TND, Layout([span]))
        num_bytes = chip.block_bytes // config.num_layers
        shipped.write_blocks(
            np.arange(len(held)), blocks[:, layer * num_bytes : (layer + 1) * num_bytes]
        )
        there = Span(len(held) * SIZE, 1, range(len(held)), 0, len(held) * SIZE)
        same = form.attend(shipped, 0, q_TND, Layout([there]))
        np.testing.assert_array_equal(part.out_TND, same.out_TND)
        np.testing.assert_array_equal(part.lse_TN, same.lse_TN)
        others.append(PartOf(np.array([0]), part))
    apart = np.linalg.norm(merged(own, others) - want)
    assert apart <= TOLERANCE[kind] * np.linalg.norm(want)


def filled(form: KvForm, num_blocks: int) -> Any:
    """A cache of random keys and values in all layers."""
    cache, rng = form.cache(num_blocks), np.random.default_rng(1)
    blocks, offsets = np.divmod(np.arange(num_blocks * SIZE, dtype=np.int32), SIZE)
    for layer in range(cache.num_layers):
        if isinstance(cache, mla.LatentCache):
            widths: list[tuple[int, ...]] = [(cache.latent,), (cache.rope,)]
        else:
            widths = [(cache.num_kv_heads, cache.head_dim)] * 2
        rows = [rng.normal(size=(len(blocks), *width)).astype(np.float32) for width in widths]
        cache.write(layer, blocks, offsets, rows[0], rows[1])
    return cache
