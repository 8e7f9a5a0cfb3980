"""Ranks of a digest model: their shares are the chip's terms, and what they declare is their part
of the real model, by hand.
"""

from functools import partial

import numpy as np
import pytest

from configs.heads import Heads
from configs.model_config import ModelConfig
from configs.parts import Part, parts_of
from tests.workers.model.digest.models import BF16, GROUPED, LATENT
from workers.model.base import StepLayout, StepSequence
from workers.model.digest.mixing import Digests, mixed
from workers.model.digest.numerics import Digest
from workers.model.digest.rank import DigestRank
from workers.model.digest.routing import Uniform
from workers.model.forward import as_it_is
from workers.model.program import Compute, Reduce
from workers.model.work import WorkModel

BLOCKS = (3, 0)
TOKENS = np.arange(5, 25)
LAYOUT = StepLayout((StepSequence(BLOCKS, 0, 20),))


def rank(part: Part | None = None, config: ModelConfig = GROUPED) -> DigestRank:
    routing = Uniform(0, config.num_experts, config.top_k)
    return DigestRank(config, 4, 16, BF16, WorkModel(config, BF16), routing, part)


def attended(model: DigestRank, layer: int) -> tuple[Compute, Digests]:
    """The first launch of a layer, and the share that it gives."""
    program = model.layer(layer, partial(as_it_is, model.embed(TOKENS)), LAYOUT)
    launch = next(program)
    assert isinstance(launch, Compute)
    asked = program.send(launch.kernel(*launch.args))
    assert isinstance(asked, Reduce)
    return launch, asked.partial


@pytest.mark.parametrize("tensor", [2, 4, 8])
def test_shares_add_up_to_one_rank_of_all_heads(tensor: int) -> None:
    _, whole = attended(rank(Part(0, 3, Heads(0, 4))), 0)
    shares = [attended(rank(part), 0)[1] for part in parts_of(GROUPED, tensor, 1)]
    assert all(share.any() for share in shares)
    assert np.array_equal(np.sum(shares, axis=0, dtype=np.uint64), whole)
    assert not np.array_equal(shares[0], shares[1])


@pytest.mark.parametrize("tensor", [2, 8])
def test_every_rank_holds_the_latent_and_its_slices_of_networks(tensor: int) -> None:
    """The first layer has a dense network, the others shared experts."""
    parts = parts_of(LATENT, tensor, 1)
    whole = rank(None, LATENT)
    for layer in (0, 1):
        x = whole.embed(TOKENS)
        models = [rank(part, LATENT) for part in parts]
        shares = [attended(model, layer)[1] for model in models]
        sums_T = np.stack(shares).sum(axis=0)
        behind = [model.behind(layer, x.copy(), sums_T, LAYOUT) for model in models]
        added = [beside for _, beside, _ in behind if beside is not None]
        total_T = behind[0][0] + np.sum(added, axis=0, dtype=np.uint64)
        right_T, moe = whole.attend(layer, x.copy(), LAYOUT)
        assert np.array_equal(mixed(total_T) if moe is None else total_T, right_T)
        assert len(added) == tensor and not np.array_equal(added[0], added[1])
        keys = [model.read_blocks(BLOCKS) for model in models]
        assert all(np.array_equal(each, keys[0]) for each in keys) and keys[0].any()
    assert {rank(part, LATENT).block_bytes for part in parts} == {whole.block_bytes}


def test_work_is_that_of_the_heads_held() -> None:
    """Two of four KV heads, four of eight query heads, in bf16: keys and values of 20 tokens are
    written once, and 20 are read.
    """
    part = parts_of(GROUPED, 2, 1)[1]
    launch, _ = attended(rank(part), 1)
    assert launch.work == WorkModel(part.of(GROUPED), BF16).attend(1, LAYOUT)
    amounts = {demand.resource: demand.amount for demand in launch.work.demands}
    assert amounts["hbm.write"] == 20 * 2 * 2 * GROUPED.head_dim * 2
    whole, _ = attended(rank(Part(0, 3, Heads(0, 4))), 1)
    assert dict(amounts) != {d.resource: d.amount for d in whole.work.demands}


def test_blocks_are_of_the_part_held() -> None:
    second = parts_of(GROUPED, 2, 3)[5]
    assert (second.first_layer, second.heads) == (2, Heads(2, 2))
    model = rank(second)
    assert model.block_bytes == 16 * 1 * 2 * 2 * GROUPED.head_dim * 2
    blocks = model.read_blocks((2, 0))
    assert blocks.shape == (2, 1, 1, 2, 16)
    numerics = Digest.of(GROUPED, BF16, "bf16", free_metadata=False)
    assert numerics.kv_bytes(blocks) == 2 * model.block_bytes
    assert numerics.kv_bytes(blocks[:, :, :, :1]) == model.block_bytes


def test_a_stage_of_a_latent_model_has_its_own_layers() -> None:
    """Three layers, of which the first is dense, in three stages."""
    for stage, part in enumerate(parts_of(LATENT, 1, 3)):
        model = rank(part, LATENT)
        assert model.block_bytes == 16 * (512 + 64) * 2
        x, moe = model.attend(stage, model.embed(TOKENS), LAYOUT)
        assert (moe is None) == (stage == 0)
        alone = rank(None, LATENT)
        same, _ = alone.attend(stage, alone.embed(TOKENS), LAYOUT)
        assert np.array_equal(x, same), "layers have the numbers of the whole model"


def test_parts_go_where_they_belong() -> None:
    """Heads 2 and 3 of layer 1, from a chip that holds all."""
    whole, part = rank(Part(0, 3, Heads(0, 4))), parts_of(GROUPED, 2, 3)[3]
    attended(whole, 1)
    held = whole.read_blocks(BLOCKS)[:, 1:2, :, 2:]
    model = rank(part)
    model.write_part(BLOCKS, Part(1, 1, Heads(2, 2)), held)
    assert held.any() and np.array_equal(model.read_blocks(BLOCKS), held)
    model.write_part(BLOCKS, Part(1, 1, Heads(3, 1)), np.zeros_like(held[:, :, :, 1:]))
    assert np.array_equal(model.read_blocks(BLOCKS)[:, :, :, 0], held[:, :, :, 0])
    assert not model.read_blocks(BLOCKS)[:, :, :, 1].any()
    with pytest.raises(ValueError, match="parts of KV blocks are uint64"):
        model.write_part(BLOCKS, Part(1, 1, Heads(2, 2)), held[:, :, :, :1])
