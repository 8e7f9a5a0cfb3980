"""Ranks of real models that hold slices of the same keys: what they add is what one chip adds, to
an error of fp32, whatever lies in slots that nobody has written.
"""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from configs.families import load_model
from configs.parts import Part, Ranks, parts_of
from tests.workers.model.models import DEEPSEEK_V2, DEEPSEEK_V3, SIZES, write_model
from workers.model.base import StepLayout, StepSequence
from workers.model.forward import as_it_is
from workers.model.parts.rows import softmax_in_place, softmax_of_some
from workers.model.plain.rank import PlainRank
from workers.model.program import Enter

# A prompt in two chunks, beside one that begins and one that goes on by a token.
STEPS = (
    StepLayout((StepSequence((1, 0), 0, 21), StepSequence((3,), 0, 2))),
    StepLayout((StepSequence((1, 0, 2, 5), 21, 40), StepSequence((3,), 2, 1))),
    StepLayout((StepSequence((1, 0, 2, 5), 61, 1), StepSequence((3,), 3, 1))),
)


def shares(ranks: list[PlainRank], chip: Ranks, enter: Enter, layout: StepLayout) -> Any:
    """What all add in the first layer, their messages by hand."""
    queries = [rank.slice_queries(0, enter, layout)[1] for rank in ranks]
    found = [
        rank.over_slice(0, [queries[i] for i in chip.sharers(number)], layout)
        for number, rank in enumerate(ranks)
    ]
    added = []
    for number, rank in enumerate(ranks):
        sharers = chip.sharers(number)
        mine = [found[i][number - sharers.start] for i in sharers]
        added.append(rank.found_share(0, mine))
    return np.sum(added, axis=0)


@pytest.mark.parametrize(
    ("sizes", "tensor", "context"),
    [(SIZES, 4, 2), (DEEPSEEK_V3, 2, 2), (DEEPSEEK_V3, 4, 4), (DEEPSEEK_V3, 4, 2),
     (DEEPSEEK_V2, 2, 2)],
    ids=lambda value: value if isinstance(value, int) else value["architectures"][0],
)  # fmt: skip
@pytest.mark.parametrize("stale", [0.0, np.nan])
def test_slices_add_up_to_what_one_chip_adds(
    tmp_path: Path, sizes: dict[str, Any], tensor: int, context: int, stale: float
) -> None:
    folder = write_model(tmp_path, sizes=sizes)
    parts = parts_of(load_model(folder), tensor, 1, context=context)
    chip = Ranks(tensor, tuple(map(str, range(tensor))), parts)
    whole = PlainRank(folder, Part(0, load_model(folder).num_layers), 8)
    uncut = PlainRank(folder, parts_of(load_model(folder), tensor, 1)[0], 8)
    ranks = [PlainRank(folder, part, 8) for part in parts]
    for rank in ranks:
        assert rank.block_bytes * context == uncut.block_bytes
        every = rank.read_blocks(tuple(range(8)))
        rank.write_blocks(tuple(range(8)), np.full_like(every, stale))
    for layout in STEPS:
        x = whole.embed(np.arange(3, 3 + layout.num_tokens))
        sums_TH = shares(ranks, chip, partial(as_it_is, x), layout)
        right_TH = whole.attention_share(0, partial(as_it_is, x), layout)[1]
        np.testing.assert_allclose(sums_TH, right_TH, rtol=2e-6, atol=2e-6)


def test_a_softmax_of_no_key_is_nothing() -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(size=(5, 9)).astype(np.float32)
    x[2] = -np.inf
    x[3, 4:] = -np.inf
    weights, lse = softmax_of_some(x.copy())
    seen = [0, 1, 3, 4]
    assert np.array_equal(weights[seen], softmax_in_place(x[seen].copy()))
    assert not weights[2].any() and lse[2] == -np.inf
    want = np.log(np.exp(x[seen].astype(np.float64)).sum(axis=1))
    np.testing.assert_allclose(lse[seen], want, rtol=1e-6)
