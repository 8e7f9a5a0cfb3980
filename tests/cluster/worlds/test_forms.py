"""Prefill and decode with KV in other forms: tokens as ever, and charges by hand."""

from collections.abc import Mapping

import pytest

from tests.cluster.worlds.chips_of_ranks import SIZES, degrees, expected, served
from tests.cluster.worlds.test_digest_ranks import served as digests_served

DIGEST: Mapping[str, object] = {
    "model.numerics": "digest",
    "model.dtype": "bf16",
    "placement.kv_pool": False,
}


def sizes(prefill: int, decode: int) -> dict[str, object]:
    return {
        "placement.kv_pool": False,
        "cluster.nodes.prefill.kv.block_size": prefill,
        "cluster.nodes.decode.kv.block_size": decode,
    }


@pytest.mark.parametrize("prefill_and_decode", [(16, 64), (64, 16), (48, 32)], ids=str)
def test_exact_mode_is_exact_whatever_the_block_sizes(prefill_and_decode: tuple[int, int]) -> None:
    tokens, kinds, _ = served(sizes(*prefill_and_decode))
    assert tokens == expected()
    assert kinds["kv_blocks"] >= len(SIZES)


def test_one_rank_to_two_with_blocks_of_another_size() -> None:
    tokens, kinds, _ = served({**sizes(16, 64), **degrees(decode=(2, 1))}, through_frames=True)
    assert tokens == expected()
    assert kinds["kv_part"] >= 2 * len(SIZES)


def test_links_are_charged_for_the_narrower_numbers() -> None:
    """perfuse-tiny: 4 layers, 4 KV heads of 32 numbers: 2,048 B a token in bf16, 1,152 B in int8
    with 8 scales a layer. A prompt of 3 tokens is one piece of 16; 64 bytes of envelope, 12 of
    index and checksum; a size that is not the receiver's is told in 4, numbers that are not the
    cluster's in 1.
    """
    same, alike = digests_served(DIGEST)
    assert alike["kv_blocks"][64 + 12 + 16 * 2048] >= 1
    narrow = {
        **DIGEST,
        "cluster.nodes.decode.kv.block_size": 64,
        "cluster.nodes.decode.kv.dtype": "int8",
    }
    tokens, found = digests_served(narrow)
    assert tokens == same
    assert found["kv_blocks"][64 + 12 + 4 + 1 + 16 * 1152] >= 1
    wide = {**DIGEST, "cluster.nodes.decode.kv.dtype": "fp32"}
    tokens, found = digests_served(wide)
    assert tokens == same
    assert found["kv_blocks"][64 + 12 + 16 * 2048] >= 1
