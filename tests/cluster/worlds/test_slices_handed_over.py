"""KV handed over where ranks of either chip hold slices of the same keys: one process's tokens, and
each byte once.
"""

import math
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pytest

from cluster.worlds.virtual import VirtualWorld
from tests.cluster.worlds.chips_of_ranks import expected as one_process
from tests.cluster.worlds.chips_of_slices import (
    SIZES,
    apart,
    check_real_latent,
    expected,
    group,
    latent,
    served,
    wanted,
)
from tests.cluster.worlds.cluster import ask_all, blueprint, prompt, request, run, settle
from workers.host.trace import Delivered

# Of perfuse-tiny's 4 KV heads each is held by two of 8 ranks. Behind: tokens that lie in a row.
HEADS = [
    (group(1), group(8, 2), 8),
    (group(2, pipeline=2), group(8, 2), 8),
    (group(8, 2), group(1), 8),
    (group(8, 2), group(8, 2), 8),
    (group(8), group(8, 2, block_size=64), 16),
    (group(8, 2, block_size=32), group(8, 2, 2, block_size=16), 8),
    (group(8, 2, 2), group(4, block_size=48), 8),
]
# A latent is held by all ranks.
LATENTS = [
    (group(1), group(2, 2)),
    (group(2), group(4, 2)),
    (group(4, 2), group(1)),
    (group(4, 2), group(4, 4)),
    (group(4, 4, block_size=64), group(2, 2, block_size=16)),
    (group(4, 2, block_size=16), group(2, 2, 2, block_size=48)),
]


@pytest.mark.parametrize(("prefill", "decode", "span"), HEADS, ids=str)
def test_digests_are_one_process(
    prefill: dict[str, object], decode: dict[str, object], span: int
) -> None:
    changes = {**apart(prefill, decode), "model.micro_batches": 2}
    found, kinds = served(changes, through_frames=True)
    assert found == expected(span)
    assert kinds["kv_part"] and not kinds["kv recomputed"]


@pytest.mark.parametrize(("prefill", "decode", "_"), HEADS[::2], ids=str)
def test_real_numbers_are_one_process(
    prefill: dict[str, object], decode: dict[str, object], _: int
) -> None:
    found, kinds = served(apart(prefill, decode, "real"), through_frames=True)
    assert found == one_process()[: len(SIZES)]
    assert kinds["kv_part"] and not kinds["kv recomputed"]


@pytest.mark.parametrize(("prefill", "decode"), LATENTS, ids=str)
def test_a_latent_is_handed_over_as_well(
    prefill: dict[str, object], decode: dict[str, object], tmp_path: Path
) -> None:
    """In bf16, where one end keeps it in int8: digests stand for either."""
    model = {**latent(tmp_path), "model.block_size": 64}
    span = math.gcd(16, blueprint({**apart(prefill, decode), **model}).plan.span_tokens)
    alone, _ = served({**apart(group(1), group(1)), **model, "model.block_size": span})
    narrow = {"cluster.nodes.decode.kv.dtype": "int8"}
    for numbers in ({}, narrow):
        found, kinds = served({**apart(prefill, decode), **model, **numbers})
        assert found == alone
        assert kinds["kv_part"] and not kinds["kv recomputed"]


@pytest.mark.parametrize(("prefill", "decode"), LATENTS, ids=str)
def test_a_real_latent_is_handed_over_as_well(
    prefill: dict[str, object], decode: dict[str, object], tmp_path: Path
) -> None:
    check_real_latent(apart(prefill, decode, "real"), tmp_path, 50)


def parts_sent(changes: Mapping[str, object], length: int) -> Counter[tuple[str, str, int]]:
    """Of one prompt: who sends whom messages with KV, of how many bytes."""

    async def job(world: VirtualWorld) -> Counter[tuple[str, str, int]]:
        await ask_all(world, [request("r", prompt_ids=prompt(0, length), max_tokens=2)])
        await settle(world)
        heard = [r for r in world.trace.records if isinstance(r, Delivered)]
        parts = [one for one in heard if one.kind == "kv_part"]
        return Counter((one.source, one.destination, one.num_bytes) for one in parts)

    return run(blueprint(changes), job)


def ranks_of(chip: str, count: int) -> list[str]:
    return [chip, *(f"{chip}-rank-{number}" for number in range(1, count))]


@pytest.mark.parametrize("numerics", ["real", "digest"])
def test_links_are_charged_a_slice_for_each_rank(numerics: str) -> None:
    """Blocks of 32 tokens of which a rank has 16; a prompt of 70 is five pieces of 16, of which
    rank 0 of two has three. A KV head has 4 layers, a key and a value of 32 numbers in fp32: 1,024
    bytes a token. A message has 64 of envelope and 4 each for layer and head, and tells the size of
    its pieces in 4 where they are not the receiver's; a piece has 12 of index and checksum.
    """
    cut, whole, piece = group(8, 2, block_size=32), group(1, block_size=32), 12 + 16 * 1024
    sent = parts_sent(apart(whole, cut, numerics), 70)
    for number, rank in enumerate(ranks_of("decode-0", 8)):
        told = [size for source, to, size in sent.elements() if (source, to) == ("prefill-0", rank)]
        assert sum(told) == len(told) * (64 + 8) + (3, 2)[number % 2] * piece, rank
    back = parts_sent(apart(cut, whole, numerics), 70)
    for number, rank in enumerate(ranks_of("prefill-0", 8)):
        told = [size for source, to, size in back.elements() if (source, to) == (rank, "decode-0")]
        assert sum(told) == len(told) * (64 + 8 + 4) + (3, 2)[number % 2] * piece, rank
    assert {to for _, to, _ in back} == {"decode-0"}


def test_counts_are_charged_as_digests_are() -> None:
    """Where as many tokens lie in one place."""
    forms = group(2), group(8, 2, block_size=32)
    digests, counts = (parts_sent(apart(*forms, numerics), 70) for numerics in ("digest", "counts"))
    assert digests == counts


def test_four_ranks_with_the_same_latent_send_as_much_each(tmp_path: Path) -> None:
    """Of 128 tokens each of four takers has 32 of 3 layers, 576 numbers of 2 bytes; each of four
    ranks, who have all of them, gives to one.
    """
    model = latent(tmp_path)
    sent = parts_sent({**apart(group(4), group(4, 4, block_size=64)), **model}, 128)
    pairs = Counter[tuple[str, str]]()
    for (source, to, size), count in sent.items():
        pairs[source, to] += count * size
    four = zip(ranks_of("prefill-0", 4), ranks_of("decode-0", 4), strict=True)
    assert set(pairs) == set(four)
    for pair, num_bytes in pairs.items():
        over = num_bytes - 32 * 3 * 576 * 2
        assert 0 < over < 32 * 3 * 576 * 2 // 50, (pair, over)


def test_chunks_and_known_prefixes_change_no_token() -> None:
    """Prompts in chunks, asked twice: the decode chip has all but the last blocks of the second."""
    changes = {
        **apart(group(2), group(8, 2, block_size=32)),
        "model.num_kv_blocks": 16,
        "model.max_model_len": 128,
        "model.max_num_batched_tokens": 24,
        "model.max_num_seqs": 8,
        "cluster.nodes.decode.count": 1,
    }
    sizes = tuple((i, 70, 12) for i in range(3))

    async def job(world: VirtualWorld) -> None:
        num_parts = []
        for name in ("first", "again"):
            asked = wanted(name, sizes)
            assert [one.tokens for one in await ask_all(world, asked)] == expected(16, sizes)
            await settle(world)
            records = world.trace.records
            parts = [r for r in records if isinstance(r, Delivered) and r.kind == "kv_part"]
            num_parts.append(len(parts))
        assert num_parts[1] < 2 * num_parts[0], "what is there does not go again"
        assert not [r for r in world.trace.records if getattr(r, "what", "") == "kv recomputed"]

    run(blueprint(changes), job)
