"""Ranks of real models in exact mode: what they add is what one chip adds, to an error of fp32, and
where no KV head is shared to the bit.
"""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from configs.families import load_model
from configs.heads import Heads
from configs.parts import parts_of
from tests.workers.model.models import DEEPSEEK_V2, DEEPSEEK_V3, SIZES, write_model
from workers.model.base import StepLayout, StepSequence
from workers.model.forward import as_it_is, forward
from workers.model.local import run_here
from workers.model.plain.chip_model import PlainChipModel
from workers.model.plain.expert_model import PlainExpertModel
from workers.model.plain.rank import PlainRank

LAYOUT = StepLayout((StepSequence((1, 0, 2), 0, 21), StepSequence((3,), 0, 2)))
TOKENS = np.arange(3, 26)


@pytest.mark.parametrize(
    ("sizes", "tensor"),
    [(SIZES, 2), (SIZES, 4), (DEEPSEEK_V3, 2), (DEEPSEEK_V3, 4), (DEEPSEEK_V2, 2)],
    ids=lambda value: value if isinstance(value, int) else value["architectures"][0],
)
def test_shares_add_up_to_what_one_chip_adds(
    tmp_path: Path, sizes: dict[str, Any], tensor: int
) -> None:
    """SIZES has two KV heads: four ranks hold each of them twice."""
    folder = write_model(tmp_path, sizes=sizes)
    config = load_model(folder)
    whole = PlainChipModel(folder, 8)
    ranks = [PlainRank(folder, part, 8) for part in parts_of(config, tensor, 1)]
    for layer in range(config.num_layers):
        x = whole.embed(TOKENS)
        enter = partial(as_it_is, x)
        shares = [rank.attention_share(layer, enter, LAYOUT)[1] for rank in ranks]
        sums_TH = np.sum(shares, axis=0)
        assert np.array_equal(sums_TH, np.sum(shares[::-1], axis=0)), "in any order"
        behind = [rank.behind(layer, x.copy(), sums_TH, LAYOUT) for rank in ranks]
        added = [beside for _, beside, _ in behind if beside is not None]
        total_TH = ranks[0].merge(behind[0][0], sum(added, np.zeros(1)))
        right_TH, moe = whole.attend(layer, x.copy(), LAYOUT)
        np.testing.assert_allclose(total_TH, right_TH, rtol=2e-6, atol=2e-6)
        if config.mla is None and tensor <= config.num_kv_heads:
            assert np.array_equal(total_TH, right_TH)
        assert len(added) == (tensor if config.is_dense(layer) or config.shared_intermediate else 0)
        for _, _, own in behind:
            assert (own is None) == (moe is None)
            if own is not None and moe is not None:
                assert np.array_equal(own.experts_TK, moe.experts_TK)


def test_a_program_of_one_rank_gives_the_chips_rows(tmp_path: Path) -> None:
    """A sum over one rank is its share: the same rows up to where shares are rounded."""
    folder = write_model(tmp_path, sizes=DEEPSEEK_V3)
    config = load_model(folder)
    experts = PlainExpertModel(folder, tuple(range(config.num_experts)))
    last = []
    for model in (PlainRank(folder, Heads(0, 1), 8), PlainChipModel(folder, 8)):
        enter = partial(as_it_is, model.embed(TOKENS))
        last.append(run_here(forward(model, enter, LAYOUT), experts.forward)())
    np.testing.assert_allclose(last[0], last[1], rtol=1e-5, atol=1e-5)
