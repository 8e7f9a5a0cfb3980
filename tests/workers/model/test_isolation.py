"""One row's numbers are its own: NaN and infinity reach no other row, nor whoever reuses a block.

Bits are compared. What is poisoned is told beforehand, and so is who must show it: the rows of that
sequence from the poisoned one on, and nobody else's.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from safetensors.numpy import save_file

from configs.checkpoint_files import SINGLE_FILE
from configs.precision import EXACT, Precision
from kernels import native
from tests.workers.model.models import (
    DEEPSEEK_V2,
    DEEPSEEK_V3,
    KERNEL_QWEN,
    KERNEL_V3,
    SIZES,
    random_weights,
    write_config,
    write_model,
)
from workers.model.base import ChipModel, ExpertModel, StepLayout, StepSequence
from workers.model.factory import open_chip, open_experts
from workers.model.local import local_step
from workers.model.plain.chip_model import PlainChipModel
from workers.model.plain.expert_model import PlainExpertModel

NUM_BLOCKS = 40
# A token behind three others, a prompt over two blocks, and a short one; its rows of the step.
LAYOUT = StepLayout(
    (StepSequence((1,), 3, 1), StepSequence((2, 3), 0, 20), StepSequence((4,), 0, 5))
)
NUM_ROWS, BAD_ROW, BAD_END = 26, 5, 21
INT8 = Precision("int8", "int8")
BF16 = Precision("bf16", "bf16")
PLAIN = {"gqa": SIZES, "mla": DEEPSEEK_V3, "mla v2": DEEPSEEK_V2}
KERNELS = [
    (sizes, precision, isa)
    for sizes in (KERNEL_QWEN, KERNEL_V3)
    for precision in (EXACT, BF16, INT8)
    for isa in native.isas()
]


class Case:
    """A model with all its experts here, and blocks that may hold anything."""

    def __init__(self, chip: ChipModel, experts: ExpertModel) -> None:
        self.chip, self.experts = chip, experts
        self.step = local_step(chip, experts)

    def run(self, poison: float | None = None, bad: float | None = None) -> np.ndarray:
        """Hidden states of the step. Before it all blocks hold `poison`; `bad` is written over one
        number of one token's embedding.
        """
        everywhere = tuple(range(NUM_BLOCKS))
        held = self.chip.read_blocks(everywhere)
        if held.dtype == np.uint8:  # the kernels': bytes of 255 are NaN in fp32, bf16 and scales
            held[:] = 0 if poison is None else 255
        else:
            held[:] = 0.0 if poison is None else poison
        self.chip.write_blocks(everywhere, held)
        first = StepLayout((StepSequence((1,), 0, 3),))
        self.step(self.chip.embed(np.arange(3)), first)
        x = self.chip.embed(np.arange(NUM_ROWS))
        if bad is not None:
            x[BAD_ROW, 7] = bad
        return np.asarray(self.step(x, LAYOUT))

    def check(self, poisons: tuple[float, ...]) -> None:
        want = self.run()
        assert np.isfinite(want).all()
        for poison in poisons:
            assert_array_equal(self.run(poison), want)
        for bad in (np.nan, np.inf):
            got = self.run(poisons[0], bad)
            spoilt = np.flatnonzero(~np.isfinite(got).all(axis=1))
            assert spoilt.tolist() == list(range(BAD_ROW, BAD_END)), bad
            others = np.r_[0:BAD_ROW, BAD_END:NUM_ROWS]
            assert_array_equal(got[others], want[others])


@pytest.mark.parametrize("kind", PLAIN)
def test_plain_rows_stay_alone_and_blocks_may_hold_anything(kind: str, tmp_path: Path) -> None:
    """Rows 5 to 20 see the poisoned one; 0 to 4 do not, nor do the other sequences (21 to 25)."""
    folder = write_model(tmp_path, sizes=PLAIN[kind])
    chip = PlainChipModel(folder, NUM_BLOCKS, 16)
    experts = PlainExpertModel(folder, tuple(range(chip.config.num_experts)))
    Case(chip, experts).check((np.nan, np.inf, -np.inf, 3e38))


@pytest.fixture(params=KERNELS, ids=lambda p: f"{p[0]['architectures'][0]}-{p[1]}-{p[2]}")
def on_kernels(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Case]:
    sizes, precision, isa = request.param
    before = native.lib.isa()
    native.force(isa)
    folder = write_model(tmp_path, sizes=sizes)
    chip = open_chip(folder, NUM_BLOCKS, 16, precision)
    yield Case(chip, open_experts(folder, tuple(range(chip.config.num_experts)), precision))
    native.force(before)


def test_rows_on_the_kernels_stay_alone_and_blocks_may_hold_anything(on_kernels: Case) -> None:
    """The same on every instruction set, in fp32, bf16 and int8."""
    on_kernels.check((np.nan,))


@pytest.mark.parametrize("opened", [PlainExpertModel, open_experts])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_bad_row_or_expert_spoils_the_tokens_that_have_it(
    opened: Callable[..., ExpertModel], bad: float, tmp_path: Path
) -> None:
    """A row of NaN gets sums of NaN; an expert whose weights are bad spoils those who named it. All
    other rows of the same call keep their bits: 64 tokens, each with two of four experts.
    """
    whole = opened(write_model(tmp_path / "whole"), (0, 1, 2, 3))
    rng = np.random.default_rng(0)
    hidden_TH = rng.normal(size=(64, 32)).astype(np.float32)
    ids = rng.permuted(np.tile(np.arange(4, dtype=np.int32), (64, 1)), axis=1)[:, :2]
    weights = np.full((64, 2), 0.5, dtype=np.float32)
    want = whole.forward(1, hidden_TH, ids, weights)
    spoilt_TH = hidden_TH.copy()
    spoilt_TH[3] = bad
    got = whole.forward(1, spoilt_TH, ids, weights)
    assert not np.isfinite(got[3]).any()
    assert_array_equal(np.delete(got, 3, axis=0), np.delete(want, 3, axis=0))

    tensors = random_weights(whole.config)
    tensors["model.layers.1.mlp.experts.2.down_proj.weight"][:] = bad
    folder = write_config(tmp_path / "spoilt")
    save_file(tensors, folder / SINGLE_FILE)
    got = opened(folder, (0, 1, 2, 3)).forward(1, hidden_TH, ids, weights)
    named = (ids == 2).any(axis=1)
    assert 0 < named.sum() < 64
    assert not np.isfinite(got[named]).all(axis=1).any()
    assert_array_equal(got[~named], want[~named])
