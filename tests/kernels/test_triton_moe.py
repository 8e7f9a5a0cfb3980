"""The experts' twin against the reference."""

import numpy as np
import pytest
import torch

from kernels.moe import ref
from kernels.numbers import from_bf16, to_bf16
from tests.kernels.data import normal
from tests.kernels.twins import array, misaligned, quietly, strided, tensor

from kernels.moe import twin  # isort: skip  (needs triton)

pytestmark = quietly
KINDS = ("fp32", "bf16")
# As in test_moe.py: a rounding a step; bf16: a step of some activations between the products.
TOLERANCE = {"fp32": 4e-6, "bf16": 3e-3}


class Case:
    """A layer with its reference, and tokens for it."""

    def __init__(self, rng, kind, experts=6, hidden=70, inner=50, tokens=5, top=3):
        self.kind = kind
        wide = (experts, inner, hidden)
        gate, up = (normal(rng, *wide, scale=hidden**-0.5) for _ in range(2))
        down = normal(rng, experts, hidden, inner, scale=inner**-0.5)
        self.plain = [ref.pack(gate[e], up[e], down[e], kind) for e in range(experts)]
        self.gate_up = tensor(np.concatenate((gate, up), axis=1), kind)
        self.down = tensor(down, kind)
        self.hidden_TH = normal(rng, tokens, hidden)
        draws = [rng.permutation(experts)[:top] for _ in range(tokens)]
        dtype = rng.choice([np.int32, np.int64])
        self.slots_TK = np.array(draws, dtype=dtype).reshape(tokens, top)
        self.weights_TK = rng.random((tokens, top)).astype(np.float32) + np.float32(0.1)

    def forward(self, variant=lambda t: t, **options):
        tokens = [variant(tensor(a)) for a in (self.hidden_TH, self.slots_TK, self.weights_TK)]
        return array(twin.forward(self.gate_up, self.down, *tokens, **options))

    def want(self, slots_TK=None):
        slots_TK = self.slots_TK if slots_TK is None else slots_TK
        known = np.where(slots_TK < len(self.plain), slots_TK, -1)
        return ref.forward(self.plain, self.kind, self.hidden_TH, known, self.weights_TK)

    def check(self, **options):
        got, want = self.forward(**options), self.want()
        assert got.dtype == want.dtype and np.isfinite(got).all()
        size = np.linalg.norm(want)
        assert np.linalg.norm(got - want) <= TOLERANCE[self.kind] * size
        assert (size > 0) == bool((self.slots_TK >= 0).any())
        if self.kind == "fp32":
            assert np.array_equal(np.rint(got * 2.0**32), got * 2.0**32)
        return got


both_ways = pytest.mark.parametrize("unsorted", [1000, 0], ids=["unsorted", "sorted"])


@both_ways
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "sizes",
    [
        {"experts": 1, "hidden": 1, "inner": 1, "tokens": 1, "top": 1},
        {"hidden": 32, "inner": 16, "tokens": 1},
        {"hidden": 256, "inner": 128, "tokens": 2},
        {"experts": 9, "hidden": 129, "inner": 67, "tokens": 4, "top": 5},
        {"experts": 2, "hidden": 64, "inner": 40, "tokens": 21, "top": 1},
    ],
)
def test_agrees_with_the_reference(kind, sizes, unsorted, rng):
    Case(rng, kind, **sizes).check(unsorted_pairs_max=unsorted)


@pytest.mark.parametrize("kind", KINDS)
def test_many_tokens_an_expert(kind, rng):
    """Blocks of 64 pairs, one expert with several of them and one with none."""
    case = Case(rng, kind, experts=3, hidden=40, inner=24, tokens=130, top=2)
    case.slots_TK[:] = rng.choice([0, 0, 0, 2], case.slots_TK.shape)  # twice the same: allowed
    case.check()


@both_ways
@pytest.mark.parametrize("kind", KINDS)
def test_all_tokens_to_one_expert(kind, unsorted, rng):
    case = Case(rng, kind, tokens=19, top=1)
    case.slots_TK[:] = 4
    case.check(unsorted_pairs_max=unsorted)


@both_ways
@pytest.mark.parametrize("kind", KINDS)
def test_unused_slots_may_hold_anything(kind, unsorted, rng):
    case = Case(rng, kind, tokens=8)
    case.slots_TK = case.slots_TK.astype(np.int64)
    case.slots_TK[2, 1], case.slots_TK[5], case.slots_TK[6, 0] = -1, -1, 6
    case.slots_TK[7, 2] = 2**32 + 1  # would be expert 1 in 32 bits
    want = case.check(unsorted_pairs_max=unsorted)
    case.weights_TK[2, 1], case.weights_TK[5], case.weights_TK[6, 0] = np.nan, np.inf, np.nan
    case.hidden_TH[5] = np.nan  # a token that nobody here is asked about
    got = case.forward(unsorted_pairs_max=unsorted)
    assert np.array_equal(got, want)
    assert not got[5].any()


@both_ways
def test_nobody_is_named(unsorted, rng):
    case = Case(rng, "bf16")
    case.slots_TK[:] = -1
    assert not case.forward(unsorted_pairs_max=unsorted).any()
    case.hidden_TH, case.slots_TK = case.hidden_TH[:0], case.slots_TK[:0]
    case.weights_TK = case.weights_TK[:0]
    assert case.forward(unsorted_pairs_max=unsorted).shape == (0, 70)


def test_shards_add_exactly(rng):
    """fp32: parts by some of the experts each add up to the bits of all."""
    case = Case(rng, "fp32", tokens=4)
    whole, parts, slots = case.forward(), 0, case.slots_TK
    for held in ((4, 1), (0, 5, 3), (2,)):
        case.slots_TK = np.where(np.isin(slots, held), slots, -1)
        parts += case.forward()
    assert np.array_equal(whole, parts)


@pytest.mark.parametrize("kind", KINDS)
def test_any_alignment_and_stride(kind, rng):
    case = Case(rng, kind, tokens=2)
    want = case.forward()
    assert np.array_equal(case.forward(misaligned), want)
    assert np.array_equal(case.forward(strided), want)
    case.gate_up, case.down = misaligned(case.gate_up), misaligned(case.down)
    assert np.array_equal(case.forward(), want)


def test_bf16_activations(rng):
    case = Case(rng, "bf16")
    case.hidden_TH = from_bf16(to_bf16(case.hidden_TH))
    slots, weights = tensor(case.slots_TK), tensor(case.weights_TK)
    given = tensor(case.hidden_TH, "bf16")
    got = twin.forward(case.gate_up, case.down, given, slots, weights)
    assert np.array_equal(array(got), case.forward())


@pytest.mark.parametrize("kind", KINDS)
def test_large_activations_do_not_overflow(kind, rng):
    case = Case(rng, kind)
    case.hidden_TH *= np.float32(300)
    case.check()


def test_what_does_not_fit_is_refused(rng):
    case = Case(rng, "fp32")
    given = {
        "gate_up": case.gate_up,
        "down": case.down,
        "hidden_TH": tensor(case.hidden_TH),
        "slots_TK": tensor(case.slots_TK),
        "weights_TK": tensor(case.weights_TK),
    }
    for name, wrong in (
        ("gate_up", case.gate_up[:, 1:]),
        ("gate_up", case.gate_up.half()),
        ("down", case.down[:, 1:]),
        ("down", case.down.to(torch.bfloat16)),
        ("down", strided(case.down)),
        ("hidden_TH", given["hidden_TH"][:, 1:]),
        ("hidden_TH", given["hidden_TH"].to("meta")),
        ("slots_TK", given["slots_TK"].float()),
        ("slots_TK", given["slots_TK"][1:]),
        ("weights_TK", given["weights_TK"].double()),
    ):
        with pytest.raises(ValueError, match=f"^{name} "):
            twin.forward(**given | {name: wrong})
