"""What links and tiers are charged for digests, by hand from the published sizes of DeepSeek-V3."""

import numpy as np
import pytest

from configs.families import load_model
from configs.precision import Precision
from configs.presets import ROOT
from workers.model.digest.chip_model import DigestChip
from workers.model.digest.numerics import Digest
from workers.model.digest.routing import Uniform
from workers.model.digest.shape import KvSizes
from workers.model.work import WorkModel

DEEPSEEK = load_model(ROOT / "scenarios" / "models" / "deepseek-v3.json")
BF16 = Precision("bf16", "bf16")
NUMERICS = Digest.of(DEEPSEEK, BF16, "int8", free_metadata=False)


def test_rows_and_sums() -> None:
    """One byte for each of 7,168 and 56 scales of 4; sums in two bytes, as DeepEP sends them."""
    assert NUMERICS.row_bytes(8) == 7168 + 56 * 4
    assert NUMERICS.sum_bytes(1) == 2 * 7168
    assert Digest.of(DEEPSEEK, BF16, "bf16", free_metadata=False).row_bytes(8) == 2 * 7168
    exact = Digest.of(DEEPSEEK, Precision(), "fp32", free_metadata=False)
    assert (exact.row_bytes(8), exact.sum_bytes(1)) == (4 * 7168, 4 * 7168)


def test_scales_are_metadata() -> None:
    assert Digest.of(DEEPSEEK, BF16, "int8", free_metadata=True).row_bytes(8) == 7168


@pytest.mark.parametrize(("kind", "token"), [("bf16", 576 * 2), ("int8", 576 + 2 * 4)])
def test_keys(kind: str, token: int) -> None:
    """512 numbers of the latent and 64 of the rotated key, in 61 layers; int8 has two scales."""
    precision = Precision("bf16", kind)  # type: ignore[arg-type]
    routing = Uniform(0, DEEPSEEK.num_experts, DEEPSEEK.top_k)
    chip = DigestChip(DEEPSEEK, 4, 64, precision, WorkModel(DEEPSEEK, precision), routing)
    assert chip.block_bytes == 64 * 61 * token
    blocks = chip.read_blocks((2, 0, 1))
    assert blocks.nbytes == 3 * 64 * 61 * 8, "what is carried"
    numerics = Digest.of(DEEPSEEK, precision, "bf16", free_metadata=False)
    assert numerics.kv_bytes(blocks) == 3 * chip.block_bytes
    assert numerics.kv_bytes(blocks[0]) == chip.block_bytes
    one_layer = blocks.reshape(3, 61, -1)[:, 7]
    assert numerics.kv_bytes(one_layer) == 3 * 64 * token


def test_queries() -> None:
    """128 heads of 576 numbers in fp32, as they meet the latents; and one number a head."""
    assert NUMERICS.query_bytes(np.zeros((5, 1, 1), np.uint64)) == 5 * 128 * 576 * 4
    assert NUMERICS.query_bytes(np.zeros((5, 1), np.float32)) == 5 * 128 * 4
    assert KvSizes(4, 100, 8, 32).query_bytes(3, widths=True) == 3 * 8 * 32 * 4


def test_rows_are_bytes_of_digests() -> None:
    rows = np.array([1, 2**64 - 1], np.uint64)
    sent = NUMERICS.sent(rows)
    assert sent.dtype == np.uint8 and sent.shape == (2, 8)
    assert np.array_equal(NUMERICS.received(sent), rows)
    with pytest.raises(ValueError, match=r"digests are uint8 \[T, 8\]"):
        NUMERICS.received(np.zeros((2, 9), np.uint8))


def test_sums_wrap() -> None:
    sums = NUMERICS.zero(np.zeros(3, np.uint64))
    NUMERICS.add(sums, np.array([0, 2]), np.array([2**64 - 1, 5], np.uint64))
    NUMERICS.add(sums, slice(None), np.array([3, 1, 2], np.uint64))
    assert sums.tolist() == [2, 1, 7]
