"""The dispatch codec's twin against the reference, bit for bit."""

import numpy as np
import pytest
import torch

from kernels.codec import ref
from kernels.numbers import from_bf16, to_bf16
from tests.kernels.data import normal
from tests.kernels.twins import array, misaligned, quietly, strided, tensor

from kernels.codec import twin  # isort: skip  (needs triton)

pytestmark = quietly


def packed(x, to, num, **options):
    """What was written, and what the reference says."""
    payload, tokens, offsets = map(array, twin.pack(x, to, num, **options))
    rows = offsets[-1]
    assert (tokens[rows:] == -1).all()
    return payload[:rows], tokens[:rows], offsets


def same(got, want):
    assert all(np.array_equal(a, b) for a, b in zip(got, want, strict=True))


@pytest.mark.parametrize(
    ("tokens", "hidden", "named", "num"),
    [
        (1, 1, 1, 1),
        (7, 64, 3, 4),
        (5, 130, 1, 3),
        (9, 200, 8, 16),
        (3, 2100, 2, 2),
        (70, 17, 9, 10),
    ],
)
def test_the_references_bytes(tokens, hidden, named, num, rng):
    x = np.ldexp(normal(rng, tokens, hidden), rng.integers(-30, 30, (tokens, hidden)))
    x[rng.random(x.shape) < 0.1] = 0
    to = rng.integers(-1, num, (tokens, named)).astype(rng.choice([np.int32, np.int64]))
    got = packed(tensor(x), tensor(to), num)
    same(got, ref.pack(x, to, num))
    assert np.array_equal(array(twin.unpack(tensor(got[0]), hidden)), ref.unpack(got[0], hidden))


def test_halves_round_to_even(rng):
    """Codes that lie in the middle of two, where other roundings differ."""
    x = np.zeros((1, 128), dtype=np.float32)
    x[0, 0], x[0, 1:] = 127, rng.integers(-126, 126, 127) + 0.5
    to = np.zeros((1, 1), dtype=np.int32)
    same(packed(tensor(x), tensor(to), 1), ref.pack(x, to, 1))


def test_bf16_in_and_out(rng):
    x = from_bf16(to_bf16(normal(rng, 4, 300)))
    to = rng.integers(0, 3, (4, 2))
    got = packed(tensor(x, "bf16"), tensor(to), 3)
    same(got, ref.pack(x, to, 3))
    rounded = twin.unpack(tensor(got[0]), 300, torch.bfloat16)
    want = from_bf16(to_bf16(ref.unpack(got[0], 300)))
    assert np.array_equal(array(rounded.float()), want)


def test_extremes_zeros_and_nan():
    x = np.zeros((4, 256), dtype=np.float32)
    x[1, :4] = (3.4e38, -3.4e38, 1e-30, 0)
    x[2, 130] = 1e-30
    x[3, 3], x[3, 140], x[3, 5] = np.nan, np.inf, 2
    payload, _, _ = packed(
        tensor(x), torch.zeros((4, 1), dtype=torch.int32).to(tensor(x).device), 1
    )
    back = array(twin.unpack(tensor(payload), 256))
    same([payload[:3]], [ref.pack(x[:3], np.zeros((3, 1)), 1)[0]])
    assert not back[0].any() and np.isfinite(back[:3]).all()
    assert np.isnan(back[3]).all()  # 0 times NaN, 0 times infinity


def test_any_alignment_and_stride(rng):
    x, to = normal(rng, 6, 150), rng.integers(-1, 3, (6, 2))
    want = ref.pack(x, to, 3)
    for variant in (misaligned, strided):
        same(packed(variant(tensor(x)), variant(tensor(to)), 3), want)
        payload = variant(tensor(want[0]))
        assert np.array_equal(array(twin.unpack(payload, 150)), ref.unpack(want[0], 150))


def test_the_order_of_arrival_changes_no_bit(rng):
    tokens, ranks, hidden = 6, 5, 77
    pairs = [(t, r) for t in range(tokens) for r in range(ranks) if rng.random() < 0.7]
    rows = normal(rng, len(pairs), hidden)
    rows[::2] *= np.float32(1000)
    token, rank = np.array(pairs, dtype=np.int32).reshape(-1, 2).T
    want = ref.reduce(rows, token, rank, tokens)
    for variant in (lambda t: t, misaligned, strided):
        order = rng.permutation(len(pairs))
        x, to, source = (variant(tensor(part[order])) for part in (rows, token, rank))
        assert np.array_equal(array(twin.reduce(x, to, source, tokens, ranks)), want)


def test_unused_rows_may_hold_nan(rng):
    rows = normal(rng, 4, 40)
    rows[2] = np.nan
    token, rank = np.array([0, 1, -1, 1]), np.array([0, 2, 7, 1])
    got = array(twin.reduce(tensor(rows), tensor(token), tensor(rank), 3, 3))
    assert np.array_equal(got, ref.reduce(rows, token, rank, 3))
    assert not got[2].any()


def test_nothing_to_send_or_to_sum(rng):
    x = tensor(normal(rng, 2, 64))
    nobody = torch.full((2, 3), -1, dtype=torch.int64, device=x.device)
    payload, tokens, offsets = packed(x, nobody, 5)
    assert len(payload) == len(tokens) == 0 and offsets.tolist() == [0] * 6
    assert packed(x[:0], nobody[:0], 5)[2].tolist() == [0] * 6
    none = torch.empty(0, dtype=torch.int32, device=x.device)
    assert not twin.reduce(x[:0], none, none, 3, 2).any()


def test_unchecked_ids_that_fit_nowhere_are_unused(rng):
    x, to = normal(rng, 5, 70), rng.integers(-1, 3, (5, 2))
    wild = np.where(to < 0, 2**33 + 1, to)
    same(packed(tensor(x), tensor(wild), 3, check=False), ref.pack(x, to, 3))
    token, rank = np.array([0, 5, 1, 0, 1]), np.array([0, 0, 1, 9, -1])
    got = twin.reduce(tensor(x), tensor(token), tensor(rank), 2, 2, check=False)
    assert np.array_equal(array(got), x[[0, 2]])


def test_what_does_not_fit_is_refused(rng):
    x = tensor(normal(rng, 2, 64))

    def ids(*values):
        return torch.tensor(values, device=x.device)

    with pytest.raises(ValueError, match="destinations_TD names 3"):
        twin.pack(x, ids([3], [3]), 3)
    with pytest.raises(ValueError, match="num_destinations"):
        twin.pack(x, ids([0], [0]), 0)
    with pytest.raises(ValueError, match="x_TH is float64"):
        twin.pack(x.double(), ids([0], [0]), 1)
    with pytest.raises(ValueError, match="payload"):
        twin.unpack(torch.zeros((2, 64), dtype=torch.uint8, device=x.device), 64)
    with pytest.raises(ValueError, match="twice"):
        twin.reduce(x, ids(0, 0), ids(1, 1), 1, 2)
    for token, rank in (((0, 2), (0, 0)), ((0, 0), (0, 2)), ((0, 0), (0, -1))):
        with pytest.raises(ValueError, match="must be below 2"):
            twin.reduce(x, ids(*token), ids(*rank), 2, 2)
