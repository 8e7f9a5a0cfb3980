"""Chosen tokens against the reference that sorts everything, bit for bit, on every set."""

import math
from typing import Any

import numpy as np
import pytest

from kernels import native, sampling
from kernels.sampling import ref
from tests.kernels.data import misaligned

BELOW_1 = 1 - 2.0**-53
TEMPERATURES = (0.0, 1e-3, 0.1, 0.7, 1.0, 2.0, 1e6, 1e300, 1e-320)
TOP_KS = (0, 0, 1, 5, 50, 1000, 10**12)
TOP_PS = (1.0, 1.0, 0.9, 0.5, 1e-9, 0.99999, BELOW_1)


def drawn(rng, rows, vocab):
    """Logits flat and peaked, with ties, and with tokens that cannot be."""
    logits = rng.standard_normal((rows, vocab)) * rng.choice([0.01, 1, 5, 50], (rows, 1))
    logits = np.where(rng.random((rows, 1)) < 0.3, np.round(logits * 4) / 4, logits)
    logits = np.where(rng.random((rows, 1)) < 0.1, 0.25, logits)
    never = (rng.random((rows, 1)) < 0.3) & (rng.random((rows, vocab)) < 0.5)
    never[:, rng.integers(vocab)] = False
    return np.where(never, -np.inf, logits).astype(np.float32)


def parameters(rng, rows):
    uniforms = np.where(rng.random(rows) < 0.3, rng.choice([0.0, BELOW_1], rows), rng.random(rows))
    return (
        rng.choice(TEMPERATURES, rows),
        rng.choice(TOP_KS, rows),
        rng.choice(TOP_PS, rows),
        uniforms,
    )


def same(logits, *given):
    ids, margins = sampling.choose(logits, *given)
    want_ids, want_margins = ref.choose(logits, *given)
    assert ids.tolist() == want_ids.tolist()
    assert margins.tolist() == want_margins.tolist()
    return ids


def one(logits_V, temperature, top_k=0, top_p=1.0, uniform=0.5):
    """The token of one row; checked with the reference."""
    logits = np.asarray(logits_V, dtype=np.float32)[np.newaxis]
    given = (np.array([temperature]), np.array([top_k]), np.array([top_p]), np.array([uniform]))
    return same(logits, *given)[0]


@pytest.mark.parametrize("vocab", [1, 2, 15, 16, 17, 63, 64, 65, 200, 1003, 5000])
def test_tokens_and_margins_are_those_of_the_reference(native_isa, vocab, rng):
    for _ in range(4):
        same(drawn(rng, 12, vocab), *parameters(rng, 12))


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_a_large_vocabulary_on_several_threads(native_isa, threads, rng):
    before = native.lib.num_threads()
    native.set_num_threads(threads)
    try:
        same(drawn(rng, 7, 32_003), *parameters(rng, 7))
    finally:
        native.set_num_threads(before)


def test_weights_are_exp_to_two_units_in_the_last_place(rng):
    x = np.concatenate([-rng.random(20_000) * 32, -rng.random(1000) * 1e-6, [0.0, ref.LEAST]])
    exact = np.exp(x.astype(np.longdouble))
    error = np.abs(ref.exponential(x).astype(np.longdouble) - exact)
    assert (error <= 2 * np.spacing(exact.astype(np.float64))).all()
    assert ref.exponential(np.zeros(1))[0] == 1.0
    edge = np.array([1, -30.4, -np.inf], dtype=np.float32)
    assert ref.weights(edge, 1.0, 1.0)[[0, 2]].tolist() == [2**44, 0]


def test_edges(isa):
    for temperature in (1e-3, 1.0, 1e300):
        assert one([3.0], temperature, uniform=BELOW_1) == 0
        # All equal: by id, each as likely as the others.
        for vocab in (2, 40, 1001):
            assert one(np.zeros(vocab), temperature, uniform=0.0) == 0
            assert one(np.zeros(vocab), temperature, uniform=BELOW_1) == vocab - 1
            assert one(np.zeros(vocab), temperature, uniform=0.5) == vocab // 2
            assert one(np.zeros(vocab), temperature, top_k=2, uniform=BELOW_1) == 1
            assert one(np.zeros(vocab), temperature, top_p=1e-12, uniform=BELOW_1) == 0
        # What cannot be is not chosen, wherever it stands.
        assert one([-np.inf, 0.0, -np.inf, 0.0], temperature, uniform=BELOW_1) == 3
        assert one([-np.inf, 0.0, -np.inf], temperature, top_k=3, uniform=BELOW_1) == 1
    # At a low temperature a small lead is everything; at a huge one nothing is.
    assert one([0.0, 0.1, 0.0], 1e-3, uniform=BELOW_1) == 1
    assert one([0.0, 100.0, -100.0], 1e300, uniform=BELOW_1) == 2
    for temperature in (1e-320, 1.0):
        assert one([3e38, -3e38, 3e38], temperature, uniform=BELOW_1) == 2


def test_neighbouring_floats_are_told_apart(isa, rng):
    """Logits a last place apart fall into one bucket after another."""
    steps = rng.permutation(300)
    logits = (np.float32(1).view(np.int32) + steps.astype(np.int32)).view(np.float32)
    order = np.argsort(-logits)
    for place in (0, 150, 299):
        assert one(logits, 1e300, uniform=(place + 0.5) / 300) == order[place]


def test_frequencies_fit_the_softmax(isa, rng):
    """Chi-square over evenly spread chance with a random start: far below what chance would give,
    and over random chance below a bound that it passes once in a million runs."""
    logits = (rng.standard_normal(30) * 1.5).astype(np.float32)
    draws, temperature = 3000, 0.8
    shares = np.exp((logits.astype(np.float64) - logits.max()) / temperature)
    expected = draws * shares / shares.sum()
    grid = (np.arange(draws) + rng.random()) / draws
    for uniforms, bound in ((grid, 2.0 * (1 / expected).sum()), (rng.random(draws), 84.0)):
        full = np.full(draws, 1.0)
        given: tuple[Any, ...] = (
            full * temperature,
            np.zeros(draws, dtype=np.int64),
            full,
            uniforms,
        )
        ids, _ = sampling.choose(np.tile(logits, (draws, 1)), *given)
        found = np.bincount(ids, minlength=30)
        few = expected < 5  # together, as the test asks
        found = np.append(found[~few], found[few].sum())
        wanted = np.append(expected[~few], max(expected[few].sum(), 1e-9))
        assert (((found - wanted) ** 2) / np.maximum(wanted, 1)).sum() < bound


def test_what_is_wrong_is_named(isa, rng):
    good: list[Any] = [np.ones(3), np.zeros(3, dtype=np.int64), np.ones(3), np.zeros(3)]
    logits = rng.standard_normal((3, 70)).astype(np.float32)
    broken = logits.copy()
    broken[1, 66:] = broken[2, 3] = np.nan
    for temperature in (0.0, 1.0):
        with pytest.raises(ValueError, match="NaN at row 1, token 66"):
            sampling.choose(broken, np.full(3, temperature), *good[1:])
    for value in (math.inf, -math.inf):
        endless = logits.copy()
        endless[2] = value
        with pytest.raises(ValueError, match=rf"row 2 is {value:g}; it must be finite"):
            sampling.choose(endless, *good)
        ids, margins = sampling.choose(endless, np.zeros(3), *good[1:])
        assert ids[2] == 0 and margins[2] == 0
    for place, name, values in (
        (0, "temperature", (-1.0, math.nan, math.inf)),
        (1, "top_k", (-1,)),
        (2, "top_p", (0.0, 1.1, math.nan)),
        (3, "uniform", (1.0, -0.1, math.nan)),
    ):
        for value in values:
            bad = [part.copy() for part in good]
            bad[place][1] = value
            with pytest.raises(ValueError, match=rf"{name} of row 1 is {value:g}; it must be"):
                sampling.choose(logits, *bad)
        with pytest.raises(ValueError, match=r"dimension 0 must be 3"):
            sampling.choose(logits, *[p[: 2 if i == place else 3] for i, p in enumerate(good)])
    for shape in ((3, 0), (3, ref.VOCAB_MAX + 1)):
        with pytest.raises(ValueError, match="524288"):
            sampling.choose(np.zeros(shape, dtype=np.float32), *good)
    none = [part[:0] for part in good]
    assert sampling.choose(logits[:0], *none)[0].shape == (0,)


def test_arrays_that_the_library_cannot_read_are_refused(native_isa, rng):
    good: list[Any] = [np.ones(2), np.zeros(2, dtype=np.int64), np.ones(2), np.zeros(2)]
    logits = rng.standard_normal((2, 40)).astype(np.float32)
    for wrong in (logits[:, ::2], misaligned(logits)):
        with pytest.raises(ValueError, match="without gaps"):
            sampling.choose(wrong, *good)
    with pytest.raises(ValueError, match="float64; it must be float32"):
        sampling.choose(logits.astype(np.float64), *good)
    with pytest.raises(ValueError, match="top_ks_R has dtype float64"):
        sampling.choose(logits, good[0], good[0], *good[2:])
    # Rows with gaps between them are read where they lie.
    same(logits[:, :17], *good)
