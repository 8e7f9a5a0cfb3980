"""Experts that are shipped in pieces, however these are cut, and what goes wrong with a piece."""

from itertools import pairwise

import numpy as np
import pytest

from configs.precision import Precision
from tests.workers.model.digest.models import BF16, LATENT
from workers.model.digest.expert_model import DigestExperts
from workers.model.digest.mixing import Digests, mixed
from workers.model.digest.shipped import ShippedDigests
from workers.model.work import WorkModel

SIZES = ShippedDigests(LATENT, BF16)
HELD = (2, 3, 7)
EXPERTS = DigestExperts(LATENT, HELD, WorkModel(LATENT, Precision()), alike=False)


def gathered(cuts: list[int], expert: Digests) -> list[Digests]:
    return [SIZES.piece(expert, b, e) for b, e in pairwise(cuts)]


def put(pieces: list[Digests]) -> Digests:
    buffer: Digests = SIZES.buffer()
    for piece in pieces:
        SIZES.put(buffer, 0, piece)
    return buffer


@pytest.mark.parametrize("inner", [[], [1], [1 << 18, 2 << 18, 3 << 18]])
def test_pieces_make_the_expert(inner: list[int]) -> None:
    expert = EXPERTS.by_expert()[1, 3]
    pieces = gathered([0, *inner, SIZES.num_values], expert)
    assert put(pieces) == expert
    assert put(pieces[::-1]) == expert
    if inner:
        assert put(pieces[1:]) != expert and put([*pieces, pieces[0]]) != expert
        assert all(piece != expert for piece in pieces), "no piece alone is the expert"


def test_sums_are_those_of_a_shard() -> None:
    rows, rng = mixed(np.arange(40, dtype=np.uint64)), np.random.default_rng(0)
    experts_TK = rng.random((40, 12)).argsort(axis=1)[:, :3].astype(np.int32)
    experts_TK[rng.random((40, 3)) < 0.2] = -1
    weights_TK = rng.random((40, 3), np.float32)
    held = {expert: EXPERTS.by_expert()[2, expert] for expert in HELD}
    shipped = SIZES.forward(held, rows, experts_TK, weights_TK)
    assert np.array_equal(shipped, EXPERTS.forward(2, rows, experts_TK, weights_TK))
    assert shipped.any()


def test_what_it_cannot_hold_is_refused() -> None:
    for ids in ((1, 1), (12,), (-1,)):
        with pytest.raises(ValueError, match="distinct and from 0 to 11"):
            DigestExperts(LATENT, ids, WorkModel(LATENT), alike=False)
    rows, chosen = np.zeros(1, np.uint64), np.zeros((1, 3), np.int32)
    with pytest.raises(ValueError, match="layer 0 has no experts"):
        EXPERTS.forward(0, rows, chosen, chosen.astype(np.float32))
