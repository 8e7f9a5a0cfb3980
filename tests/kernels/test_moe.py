"""Routed experts against the reference, on every instruction set."""

import numpy as np
import pytest

from kernels import moe, native
from kernels.numbers import KINDS
from tests.kernels.data import misaligned, normal, poisoned, read_only, strided

# fp32: a rounding a step. Others: the activation between the two products is rounded again, and an
# fp32 ulp of difference can move a value to the next bf16 or int8 number: one step of some
# elements.
TOLERANCE = {"fp32": 4e-6, "bf16": 3e-3, "int8": 6e-3, "int4": 6e-3}


class Case:
    """A layer with its reference, and tokens for it."""

    def __init__(self, rng, kind, experts=6, hidden=70, inner=150, tokens=9, top=3):
        self.rng, self.kind = rng, kind
        self.native = moe.Experts(kind, experts, hidden, inner)
        self.plain = []
        for slot in range(experts):
            wide = (inner, hidden)
            weights = (
                normal(rng, *wide, scale=hidden**-0.5),
                normal(rng, *wide, scale=hidden**-0.5),
                normal(rng, hidden, inner, scale=inner**-0.5),
            )
            self.native.set(slot, *weights)
            self.plain.append(moe.ref.pack(*weights, kind))
        self.hidden_TH = normal(rng, tokens, hidden)
        draws = [rng.permutation(experts)[:top] for _ in range(tokens)]
        self.experts_TK = np.array(draws, dtype=np.int32).reshape(tokens, top)
        self.weights_TK = rng.random((tokens, top)).astype(np.float32) + np.float32(0.1)

    def out(self):
        dtype = np.float64 if self.kind == "fp32" else np.float32
        return poisoned(*self.hidden_TH.shape, dtype=dtype)

    def forward(self, **changes):
        names = ("hidden_TH", "experts_TK", "weights_TK")
        inputs = [changes.get(name, getattr(self, name)) for name in names]
        return moe.forward(self.native, inputs[0], inputs[1], inputs[2], self.out())

    def check(self):
        got = self.forward()
        want = moe.ref.forward(
            self.plain, self.kind, self.hidden_TH, self.experts_TK, self.weights_TK
        )
        size = np.linalg.norm(want)
        assert np.isfinite(got).all()
        assert np.linalg.norm(got - want) <= TOLERANCE[self.kind] * size
        assert (size > 0) == bool((self.experts_TK >= 0).any())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "sizes",
    [
        {"experts": 1, "hidden": 1, "inner": 1, "tokens": 1, "top": 1},
        {"hidden": 32, "inner": 16, "tokens": 1},
        {"hidden": 70, "inner": 150, "tokens": 9},
        {"experts": 9, "hidden": 129, "inner": 260, "tokens": 4, "top": 5},
        {"experts": 2, "hidden": 64, "inner": 128, "tokens": 111, "top": 1},
    ],
)
def test_agrees_with_the_reference(isa, kind, sizes, rng):
    Case(rng, kind, **sizes).check()


@pytest.mark.parametrize("kind", KINDS)
def test_all_tokens_to_one_expert(isa, kind, rng):
    """Many blocks of rows for one expert, others empty."""
    case = Case(rng, kind, tokens=130, top=1, hidden=40, inner=50)
    case.experts_TK[:] = 4
    case.check()


@pytest.mark.parametrize("kind", KINDS)
def test_unused_slots_may_hold_anything(isa, kind, rng):
    case = Case(rng, kind, tokens=8)
    case.experts_TK[2, 1], case.experts_TK[5], case.experts_TK[6, 0] = -1, -1, 99
    want = case.forward()
    case.weights_TK[2, 1], case.weights_TK[5], case.weights_TK[6, 0] = np.nan, np.inf, np.nan
    case.hidden_TH[5] = np.nan  # a token that nobody here is asked about
    got = case.forward()
    assert np.array_equal(got, want)
    assert not got[5].any()


@pytest.mark.parametrize("kind", KINDS)
def test_nobody_is_named(isa, kind, rng):
    case = Case(rng, kind)
    case.experts_TK[:] = -1
    assert not case.forward().any()
    none = moe.forward(case.native, case.hidden_TH[:0], case.experts_TK[:0], case.weights_TK[:0])
    assert none.shape == (0, 70)


@pytest.mark.parametrize("kind", KINDS)
def test_a_token_has_the_same_bits_in_every_batch(isa, kind, rng):
    case = Case(rng, kind, tokens=30, experts=4, top=2)
    whole = case.forward()
    for t in (0, 7, 29):
        at = slice(t, t + 1)
        one = moe.forward(case.native, case.hidden_TH[at], case.experts_TK[at], case.weights_TK[at])
        assert np.array_equal(one[0], whole[t])


@pytest.mark.parametrize("kind", KINDS)
def test_a_token_has_the_same_bits_in_a_prefill(isa, kind, rng):
    """So many pairs that the second product walks columns of all experts, not expert by expert."""
    if isa == native.REFERENCE:
        pytest.skip("one way for all sizes")
    case = Case(rng, kind, tokens=1100, experts=5, hidden=40, inner=20, top=4)
    whole = case.forward()
    few = slice(1050, 1070)
    part = moe.forward(case.native, case.hidden_TH[few], case.experts_TK[few], case.weights_TK[few])
    assert np.array_equal(part, whole[few])


@pytest.mark.parametrize("kind", KINDS)
def test_an_expert_that_all_tokens_name_is_shared(isa, kind, rng):
    """One more column of ids, with a weight of one; also an expert that a token names twice."""
    case = Case(rng, kind, experts=5, tokens=17, top=3)
    case.experts_TK[:, 2] = 4
    case.weights_TK[:, 2] = 1
    case.experts_TK[3, :2] = 4
    case.check()


def test_exact_sums_do_not_depend_on_where_experts_are(isa, rng):
    """fp32: shards of some experts each add up to the bits of one shard with all."""
    case = Case(rng, "fp32", experts=6)
    whole = case.forward()
    parts = np.zeros_like(whole)
    for held in ((4, 1), (0, 5, 3), (2,)):
        elsewhere = ~np.isin(case.experts_TK, held)
        parts += case.forward(experts_TK=np.where(elsewhere, -1, case.experts_TK))
    assert np.array_equal(whole, parts)
    assert np.array_equal(np.rint(whole * 2.0**32), whole * 2.0**32)


def test_experts_may_have_ids_of_their_own(isa, rng):
    case = Case(rng, "bf16", experts=3, top=2)
    ids = (11, 4, 7)
    named = moe.Experts("bf16", 3, 70, 150, expert_ids=ids)
    for slot in range(3):
        matrices = (case.plain[slot].gate, case.plain[slot].up, case.plain[slot].down)
        named.set(slot, *(matrix.floats() for matrix in matrices))
    renamed = np.array(ids, dtype=np.int64)[case.experts_TK]
    renamed[0, 0], renamed[1, 1] = 5, 1000
    case.experts_TK[0, 0], case.experts_TK[1, 1] = -1, -1
    got = moe.forward(named, case.hidden_TH, renamed, case.weights_TK)
    assert np.array_equal(got, case.forward())


@pytest.mark.parametrize("kind", KINDS)
def test_any_alignment_stride_and_protection(isa, kind, rng):
    case = Case(rng, kind)
    want = case.forward()
    for variant in (misaligned, strided, read_only):
        got = case.forward(
            hidden_TH=variant(case.hidden_TH),
            experts_TK=variant(case.experts_TK),
            weights_TK=variant(case.weights_TK),
        )
        assert np.array_equal(got, want)


@pytest.mark.parametrize("kind", KINDS)
def test_large_activations_do_not_overflow(isa, kind, rng):
    """exp of a large gate is infinite, silu is then zero or the gate itself."""
    case = Case(rng, kind)
    case.hidden_TH *= np.float32(300)
    case.check()


def test_several_threads_change_no_bit(isa, rng):
    case = Case(rng, "int8", experts=5, hidden=256, inner=300, tokens=20)
    threads = native.lib.num_threads() if native.lib else 1
    results = []
    for count in (1, 2, 3):
        native.set_num_threads(count)
        results.append(case.forward())
    native.set_num_threads(threads)
    assert np.array_equal(results[0], results[1])
    assert np.array_equal(results[0], results[2])


def test_exact_mode_takes_fp32(isa, rng):
    case = Case(rng, "fp32")
    sums = moe.forward_fp32(case.native, case.hidden_TH, case.experts_TK, case.weights_TK)
    assert sums.dtype == np.float64
    with pytest.raises(ValueError, match="bf16"):
        moe.forward_fp32(Case(rng, "bf16").native, case.hidden_TH, case.experts_TK, case.weights_TK)


def test_what_does_not_fit_is_refused(isa, rng):
    case = Case(rng, "fp32")
    with pytest.raises(ValueError, match="hidden_TH"):
        case.forward(hidden_TH=case.hidden_TH[:, :-1].copy())
    with pytest.raises(ValueError, match="experts_TK"):
        case.forward(experts_TK=case.experts_TK[:-1])
    with pytest.raises(ValueError, match="gate_IH"):
        case.native.set(0, np.zeros((2, 2), np.float32), case.hidden_TH, case.hidden_TH)
    empty = moe.Experts("fp32", 6, 70, 150)
    with pytest.raises(ValueError, match="no weights"):
        moe.forward(empty, case.hidden_TH, case.experts_TK, case.weights_TK)
    for sizes in ((0, 1, 1), (1, 0, 1), (1, 1, 0)):
        with pytest.raises(ValueError, match="at least 1"):
            moe.Experts("fp32", *sizes)
    for ids in ((3, 3), (3, 3, 4), (3,), (-1, 3), ()):
        with pytest.raises(ValueError, match="distinct"):
            moe.Experts("fp32", 2, 4, 4, expert_ids=ids)


def test_dtypes_are_refused_by_name(native_isa, rng):
    case = Case(rng, "fp32")
    for name, wrong in (
        ("hidden_TH", case.hidden_TH.astype(np.float64)),
        ("experts_TK", case.experts_TK.astype(np.float32)),
        ("weights_TK", case.weights_TK.astype(np.float16)),
    ):
        with pytest.raises(ValueError, match=name):
            case.forward(**{name: wrong})
