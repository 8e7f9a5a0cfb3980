"""A chip's part and all experts in one call: the same bits as apart."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from configs.families import load_model
from tests.workers.model.models import DEEPSEEK_V2, DEEPSEEK_V3, KERNEL_QWEN, SIZES, write_model
from workers.model.base import StepLayout, StepSequence
from workers.model.factory import UnfitPrecision, open_apart, open_experts
from workers.model.forward import forward, stage
from workers.model.local import LocalStep, local_step, run_here
from workers.model.plain.chip_model import PlainChipModel
from workers.model.plain.expert_model import PlainExpertModel
from workers.model.reference import Reference


@pytest.fixture(scope="module", params=[SIZES, DEEPSEEK_V2, DEEPSEEK_V3])
def folder(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("workers.model.factory.lib", None)  # the reference is of the same kind
        yield write_model(tmp_path_factory.mktemp("local"), sizes=request.param)


def opened(folder: Path) -> tuple[PlainChipModel, LocalStep]:
    all_ids = tuple(range(load_model(folder).num_experts))
    chip = PlainChipModel(folder, 64)
    return chip, local_step(chip, PlainExpertModel(folder, all_ids))


def test_a_mixed_step_has_the_reference_s_bits(folder: Path) -> None:
    """One sequence decodes while another's prompt comes in chunks."""
    rng = np.random.default_rng()
    (model, step), reference = opened(folder), Reference(folder)
    a, b = (rng.integers(0, model.config.vocab, n).tolist() for n in (37, 50))
    first = StepLayout((StepSequence((0, 1, 2), 0, 36), StepSequence((5, 4, 9, 7), 0, 19)))
    step(model.embed(np.array(a[:36] + b[:19])), first)
    second = StepLayout((StepSequence((0, 1, 2), 36, 1), StepSequence((5, 4, 9, 7), 19, 31)))
    x = step(model.embed(np.array(a[36:] + b[19:])), second)
    logits = model.logits(x, np.array([0, 31]))
    assert np.array_equal(logits[0], reference.all_logits(a)[-1])
    assert np.array_equal(logits[1], reference.all_logits(b)[-1])


def test_a_step_needs_every_expert(folder: Path) -> None:
    with pytest.raises(ValueError, match="a whole step needs all of them"):
        local_step(PlainChipModel(folder, 8), PlainExpertModel(folder, (0, 1)))


def test_a_pipeline_stage_does_not_run_alone(folder: Path) -> None:
    model = PlainChipModel(folder, 8)
    all_ids = tuple(range(model.config.num_experts))
    enter = partial(model.embed, np.arange(3))
    program = stage(model, enter, StepLayout((StepSequence((0,), 0, 3),)), range(1))
    with pytest.raises(ValueError, match="go on to another chip"):
        run_here(program, PlainExpertModel(folder, all_ids).forward)


def test_keys_that_are_elsewhere_need_somebody_who_has_them(tmp_path: Path) -> None:
    folder = write_model(tmp_path, sizes=KERNEL_QWEN)
    model = open_apart(folder, 8)
    all_ids = tuple(range(model.config.num_experts))
    enter = partial(model.embed, np.arange(1))
    layout = StepLayout((StepSequence((-1, 3), 20, 1, num_far=1),))
    with pytest.raises(ValueError, match="some of its keys are elsewhere"):
        run_here(forward(model, enter, layout), open_experts(folder, all_ids).forward)


def test_keys_that_may_be_elsewhere_ask_for_what_the_kernels_take(tmp_path: Path) -> None:
    with pytest.raises(UnfitPrecision, match=r"placement\.kv_near: is given, and"):
        open_apart(write_model(tmp_path, sizes=SIZES), 8)
