"""A chip's part and all experts joined: the same bits as apart."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from configs.families import load_model
from tests.workers.model.models import DEEPSEEK_V2, DEEPSEEK_V3, SIZES, write_model
from workers.model.base import ChipModel, StepLayout, StepSequence, WholeModel
from workers.model.plain.chip_model import PlainChipModel
from workers.model.plain.expert_model import PlainExpertModel
from workers.model.reference import Reference
from workers.model.whole import JoinedModel


@pytest.fixture(scope="module", params=[SIZES, DEEPSEEK_V2, DEEPSEEK_V3])
def folder(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("workers.model.factory.lib", None)  # the reference is of the same kind
        yield write_model(tmp_path_factory.mktemp("whole"), sizes=request.param)


def joined(folder: Path) -> JoinedModel:
    all_ids = tuple(range(load_model(folder).num_experts))
    return JoinedModel(PlainChipModel(folder, 64), PlainExpertModel(folder, all_ids))


def test_a_mixed_step_has_the_reference_s_bits(folder: Path) -> None:
    """One sequence decodes while another's prompt comes in chunks."""
    rng = np.random.default_rng()
    model, reference = joined(folder), Reference(folder)
    a, b = (rng.integers(0, model.config.vocab, n).tolist() for n in (37, 50))
    first = StepLayout((StepSequence((0, 1, 2), 0, 36), StepSequence((5, 4, 9, 7), 0, 19)))
    model.step(model.embed(np.array(a[:36] + b[:19])), first)
    second = StepLayout((StepSequence((0, 1, 2), 36, 1), StepSequence((5, 4, 9, 7), 19, 31)))
    x = model.step(model.embed(np.array(a[36:] + b[19:])), second)
    logits = model.logits(x, np.array([0, 31]))
    assert np.array_equal(logits[0], reference.all_logits(a)[-1])
    assert np.array_equal(logits[1], reference.all_logits(b)[-1])


def test_it_is_known_for_a_whole_model_and_a_chip_is_not(folder: Path) -> None:
    chip: ChipModel = PlainChipModel(folder, 8)
    assert isinstance(joined(folder), WholeModel) and joined(folder).steps_whole
    assert not isinstance(chip, WholeModel)


def test_blocks_and_work_are_the_chip_s(folder: Path) -> None:
    model = joined(folder)
    layout = StepLayout((StepSequence((0, 1), 0, 20),))
    model.step(model.embed(np.arange(20)), layout)
    blocks = model.read_blocks((0, 1))
    other = joined(folder)
    other.write_blocks((3, 2), blocks)
    assert np.array_equal(other.read_blocks((3, 2)), blocks) and blocks.any()
    assert model.attend_work(0, layout) == PlainChipModel(folder, 8).attend_work(0, layout)
    assert model.logits_work(3).demands and model.block_bytes == blocks[0].nbytes
    assert model.kv_tier == "hbm"


def test_a_step_needs_every_expert(folder: Path) -> None:
    with pytest.raises(ValueError, match="a whole step needs all of them"):
        JoinedModel(PlainChipModel(folder, 8), PlainExpertModel(folder, (0, 1)))
