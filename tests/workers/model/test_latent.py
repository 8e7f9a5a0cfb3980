"""Latent attention on the kernels: the sums of exact mode, in pieces and chunks, from chip to
chip.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from configs.precision import EXACT, Precision
from tests.workers.model.models import KERNEL_V2, KERNEL_V3, write_model
from workers.model.base import ExpertModel, LaunchModel, StepLayout, StepSequence
from workers.model.factory import open_chip, open_experts
from workers.model.native import latent_attention
from workers.model.native.latent_attention import plan_step
from workers.model.native.latent_chip_model import LatentChipModel
from workers.model.plain.chip_model import PlainChipModel
from workers.model.reference import Reference

PRECISIONS = [
    EXACT,
    Precision("bf16", "bf16"),
    Precision("bf16", "int8"),
    Precision("int8", "bf16"),
]


@pytest.fixture(scope="module", params=[KERNEL_V2, KERNEL_V3], ids=["V2", "V3"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("latent"), sizes=request.param)


def logits_of(
    chip: LaunchModel, experts: ExpertModel, ids: list[int], layout: StepLayout
) -> np.ndarray[Any, Any]:
    x = chip.embed(np.array(ids))
    for layer in range(chip.config.num_layers):
        x, moe = chip.attend(layer, x, layout)
        if moe is not None:
            sums = experts.forward(layer, moe.hidden_TH, moe.experts_TK, moe.weights_TK)
            x = chip.merge(x, sums)
    return chip.logits(x, np.arange(len(ids)))


def test_fp32_gives_what_plain_arrays_give(folder: Path) -> None:
    """So what a speed mode adds is rounding, and nothing else."""
    rng = np.random.default_rng()
    plain, chip = PlainChipModel(folder, 7), LatentChipModel(folder, 7, 16, None, EXACT)
    experts = open_experts(folder, tuple(range(8)))
    ids = rng.integers(0, chip.config.vocab, 100).tolist()
    layout = StepLayout((StepSequence((4, 1, 0, 6, 5, 2, 3), 0, 100),))
    want, got = (logits_of(model, experts, ids, layout) for model in (plain, chip))
    np.testing.assert_allclose(got, want, atol=2e-4)


@pytest.mark.parametrize("precision", PRECISIONS, ids=str)
def test_pieces_and_chunks_change_no_bit(
    folder: Path, precision: Precision, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng()
    whole = Reference(folder, precision=precision)
    vocab = whole.config.vocab
    a, b = (rng.integers(0, vocab, n).tolist() for n in (60, 33))
    want = np.concatenate([whole.all_logits(a)[41:], whole.all_logits(b)])
    # Pieces of seven tokens, which end within sequences and span two of them.
    monkeypatch.setattr(latent_attention, "QUERY_NUMBERS_MAX", 7 * 4 * (48 + 16) + 5)
    parts = Reference(folder, precision=precision)
    first = StepLayout((StepSequence((5, 2, 7, 9), 0, 41),))
    logits_of(parts.chip, parts.experts, a[:41], first)
    second = StepLayout((StepSequence((5, 2, 7, 9), 41, 19), StepSequence((1, 4, 3), 0, 33)))
    got = logits_of(parts.chip, parts.experts, a[41:] + b, second)
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("precision", PRECISIONS, ids=str)
def test_blocks_go_from_chip_to_chip(folder: Path, precision: Precision) -> None:
    """A prefill's blocks, at other places in a chip with another number of them."""
    rng = np.random.default_rng()
    prefill, decode = (open_chip(folder, n, 16, precision) for n in (4, 9))
    experts = open_experts(folder, tuple(range(8)), precision)
    ids = rng.integers(0, prefill.config.vocab, 40).tolist()
    logits_of(prefill, experts, ids[:39], StepLayout((StepSequence((3, 0, 1), 0, 39),)))
    blocks = prefill.read_blocks((3, 0, 1))
    assert blocks.shape == (3, 16 * precision.kv_bytes_per_token(prefill.config))
    decode.write_blocks((8, 2, 6), blocks)
    got = logits_of(decode, experts, ids[39:], StepLayout((StepSequence((8, 2, 6), 39, 1),)))
    np.testing.assert_array_equal(
        got[0], Reference(folder, precision=precision).all_logits(ids)[-1]
    )
    with pytest.raises(ValueError, match="data has shape"):
        decode.write_blocks((1,), blocks)


def test_a_plan_covers_each_token_once() -> None:
    layout = StepLayout((StepSequence((3, 1), 30, 1), StepSequence((0, 4, 2), 5, 40)))
    step = plan_step(layout, 16, latent_attention.QUERY_NUMBERS_MAX // 11, 48)
    assert step.positions_T.tolist() == [30, *range(5, 45)]
    assert step.blocks_T[:2].tolist() == [1, 0] and step.offsets_T[:2].tolist() == [14, 5]
    assert [(p.begin, p.end) for p in step.pieces] == [(0, 11), (11, 22), (22, 33), (33, 41)]
    assert [p.layout.num_tokens for p in step.pieces] == [11, 11, 11, 8]
    assert step.pieces[1].layout.starts_S.tolist() == [15]
    assert plan_step(StepLayout(()), 16, 100, 48).pieces == ()


@pytest.mark.parametrize(
    ("sequence", "named"),
    [
        (StepSequence((0, 1), 20, 13), "has 2 blocks; it needs 3"),
        (StepSequence((0, 1, 2), 20, 0), "at least one new token"),
        (StepSequence((0, 1, 2), 40, 2), "position 41 is past the context of 41 tokens"),
    ],
)
def test_a_plan_that_cannot_be_is_refused(sequence: StepSequence, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        plan_step(StepLayout((sequence,)), 16, 100, 41)


def test_blocks_and_tokens_that_are_not_there_are_refused(folder: Path) -> None:
    chip = open_chip(folder, 3, 16, Precision("bf16", "bf16"))
    with pytest.raises(ValueError, match=r"token ids span 7 \.\. 203; they must be from 0 to 202"):
        chip.embed(np.array([7, 203]))
    x = chip.embed(np.array([7]))
    with pytest.raises(ValueError, match="block 3"):
        chip.attend(0, x, StepLayout((StepSequence((3,), 0, 1),)))
    with pytest.raises(ValueError):
        chip.read_blocks((0, 3))
