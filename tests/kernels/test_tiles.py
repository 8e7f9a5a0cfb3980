"""Products in tiles: with the instructions where there are any, and emulated everywhere."""

from collections.abc import Iterator
from fractions import Fraction

import numpy as np
import pytest

import kernels
from kernels import bandwidth, linear, moe, native, scan
from kernels.numbers import KINDS, from_bf16, to_bf16
from tests.kernels.data import normal
from tests.kernels.test_native import run

pytestmark = pytest.mark.skipif(native.lib is None, reason=f"library is {native.missing}")

# Each set with tiles, and the one whose vectors do all that tiles leave to them.
VECTORS = {"amx-emulated": "portable", "amx": "avx512_bf16"}
SMALLEST = Fraction(1, 2**126)  # of the normal numbers in fp32


@pytest.fixture(params=[isa for isa in native.isas() if isa in VECTORS])
def tiles_isa(request: pytest.FixtureRequest) -> Iterator[str]:
    before = native.lib.isa()
    native.force(request.param)
    yield request.param
    native.force(before)


def rounded(x: Fraction) -> Fraction:
    """To 24 bits, half to even; what is then below the normal numbers is zero."""
    if x == 0:
        return x
    power = abs(x.numerator).bit_length() - x.denominator.bit_length()
    step = Fraction(2) ** (power - 23)
    if abs(x) < Fraction(2) ** power:
        step /= 2
    near = round(x / step) * step
    return near if abs(near) >= SMALLEST else Fraction(0)


def exact_number(x: np.floating) -> Fraction:
    """A bf16 number as a dot product takes it: subnormal ones are zero."""
    value = Fraction(float(x))
    return value if abs(value) >= SMALLEST else Fraction(0)


def tile_product(x_TK: np.ndarray, weight_NK: np.ndarray) -> np.ndarray:
    """Intel's definition of TDPBF16PS, in rational numbers: of 32 channels the even and the odd
    ones are summed apart, then together, then the sum is added to what was there."""
    xs = [[exact_number(x) for x in row] for row in x_TK]
    ws = [[exact_number(w) for w in row] for row in weight_NK]
    out = np.empty((len(xs), len(ws)), dtype=np.float32)
    for t, x in enumerate(xs):
        for n, w in enumerate(ws):
            total = Fraction(0)
            for begin in range(0, len(x), 32):
                sums = [Fraction(0), Fraction(0)]
                for k in range(begin, min(begin + 32, len(x))):
                    sums[k % 2] = rounded(sums[k % 2] + x[k] * w[k])
                total = rounded(total + rounded(sums[0] + sums[1]))
            out[t, n] = float(total)
    return out


def bf16(array: np.ndarray) -> np.ndarray:
    return from_bf16(to_bf16(array))


@pytest.mark.parametrize("spread", [0, 20, 62])
def test_bf16_is_what_the_manual_says(tiles_isa, spread, rng):
    """Bit by bit; with a wide spread most products vanish beside others, or below 2^-126."""
    rows, outputs, channels = 18, 35, 67
    x = bf16(normal(rng, rows, channels) * np.exp2(rng.uniform(-spread, spread / 4, channels)))
    weight = bf16(normal(rng, outputs, channels) * np.exp2(rng.uniform(-spread, 0, channels)))
    some = rng.choice(rows, 4, replace=False)
    out = linear.forward(linear.pack(weight, "bf16"), x)
    assert np.array_equal(out[some], tile_product(x[some], weight))


def test_numbers_at_the_edge_of_the_normal_ones(tiles_isa):
    """Zero or not is decided after rounding to 24 bits; subnormal numbers count as zero."""
    smallest, half = 2.0**-126, 2.0**-63
    pairs = [  # channels 0 and 2 of one chain: weights for x = 2^-63
        (half, 0.0, smallest),
        (half, -(2.0**-87), 0.0),  # the number below it has 24 bits: subnormal
        (half, -(2.0**-89), smallest),  # a quarter of a step rounds up again
        (half, -(2.0**-88), smallest),  # a half goes to the even one
        (half / 2, 0.0, 0.0),
        (half / 2, half / 2, 0.0),  # the first is gone when the second comes
        (2.0**-130, 2.0**-140, 0.0),
    ]
    weight = np.zeros((len(pairs), 3), dtype=np.float32)
    for n, (first, second, _) in enumerate(pairs):
        weight[n, 0], weight[n, 2] = first, second
    x = np.array([[half, 0, half], [2.0**60, 0, 0]], dtype=np.float32)
    out = linear.forward(linear.pack(weight, "bf16"), x)
    assert out[0].tolist() == [float(np.float32(want)) for _, _, want in pairs]
    assert out[1].tolist() == [w * 2.0**60 if w >= smallest else 0 for w in weight[:, 0].tolist()]


@pytest.mark.parametrize("kind", ["fp32", "int8", "int4"])
def test_all_but_bf16_has_the_bits_of_vectors(tiles_isa, kind, rng):
    """Sums of int8 are whole numbers: how many rows go through tiles cannot be seen."""
    weight, x = normal(rng, 70, 300), normal(rng, 75, 300)
    slots = rng.integers(0, 3, (75, 2)).astype(np.int32)
    shares = rng.random((75, 2)).astype(np.float32)
    results = []
    for isa in (tiles_isa, VECTORS[tiles_isa]):
        native.force(isa)
        weights, experts = linear.pack(weight, kind), moe.Experts(kind, 3, 300, 70)
        for slot in range(3):
            experts.set(slot, weight, -weight, weight.T / 8)
        results.append([linear.forward(weights, x[:rows]) for rows in (1, 4, 5, 16, 17, 37, 75)])
        results[-1].append(moe.forward(experts, x, slots, shares))
    for got, want in zip(*results, strict=True):
        assert np.array_equal(got, want)


@pytest.mark.parametrize("kind", ["bf16", "int8"])
@pytest.mark.parametrize("channels", [1, 31, 32, 33, 130, 255])
def test_a_row_has_the_same_bits_in_every_block(tiles_isa, kind, channels, rng):
    """Of one tile of rows and of two, full and not, and of several blocks."""
    weights = linear.pack(normal(rng, 45, channels), kind)
    x = normal(rng, 97, channels)
    alone = np.concatenate([linear.forward(weights, x[t : t + 1]) for t in range(len(x))])
    for rows in (2, 5, 15, 16, 17, 31, 32, 33, 49, 64, 65, 97):
        assert np.array_equal(linear.forward(weights, x[:rows]), alone[:rows])


def test_a_panel_does_not_see_the_next_one(tiles_isa, rng):
    """Where the channels do not fill the last tile, the panel's end is not multiplied by zero."""
    weight, x = normal(rng, 64, 40), normal(rng, 20, 40)
    want = linear.forward(linear.pack(weight, "bf16"), x)
    weight[32:, 0] = np.nan
    got = linear.forward(linear.pack(weight, "bf16"), x)
    assert np.array_equal(got[:, :32], want[:, :32])
    assert np.isnan(got[:, 32:]).all()


@pytest.mark.parametrize("kind", KINDS)
def test_weights_serve_every_instruction_set(tiles_isa, kind, rng):
    """What is packed does not depend on who multiplies."""
    weight, x = normal(rng, 50, 77), normal(rng, 40, 77)
    ours = linear.pack(weight, kind)
    native.force(VECTORS[tiles_isa])
    theirs, want = linear.pack(weight, kind), linear.forward(ours, x)
    assert np.array_equal(linear.forward(theirs, x), want)
    native.force(tiles_isa)
    assert np.array_equal(linear.forward(theirs, x), linear.forward(ours, x))


@pytest.mark.parametrize("kind", ["bf16", "int8"])
def test_scans_go_through_tiles_too(tiles_isa, kind, rng):
    """One scale for a whole query of int8, more queries than a block has rows."""
    vectors, queries = normal(rng, 70, 90), normal(rng, 37, 90)
    results = []
    for isa in (tiles_isa, VECTORS[tiles_isa]):
        native.force(isa)
        shard = scan.Shard(kind, 70, 90)
        shard.set(0, vectors)
        results.append(scan.top_k(shard, queries, 5))
    (ids, scores), (want_ids, want_scores) = results
    if kind == "int8":
        assert np.array_equal(ids, want_ids) and np.array_equal(scores, want_scores)
    assert np.allclose(scores, want_scores, rtol=1e-4, atol=1e-4)


def test_several_threads_change_no_bit(tiles_isa, rng):
    """Each thread sets its own tiles up."""
    x, weights = normal(rng, 50, 200), linear.pack(normal(rng, 1500, 200), "bf16")
    threads, results = native.lib.num_threads(), []
    for count in (1, 2, 3):
        native.set_num_threads(count)
        results.append(linear.forward(weights, x))
    native.set_num_threads(threads)
    assert all(np.array_equal(result, results[0]) for result in results)


def test_the_emulation_is_never_chosen_by_itself():
    assert "amx-emulated" in native.isas() and native.isas()[-1] != "amx-emulated"
    code = "import kernels; print(kernels.build_info().isa)"
    assert run(code, PERFUSE_ISA="").stdout.strip() == native.isas()[-1]
    assert run(code, PERFUSE_ISA="amx-emulated").stdout.strip() == "amx-emulated"


def test_amx_is_refused_where_it_is_not():
    if "amx" in native.isas():
        pytest.skip("it is here")
    features = kernels.build_info().cpu_features.split()
    lacking = [name for name in ("amx_tile", "amx_bf16", "amx_int8") if name not in features]
    with pytest.raises(ValueError, match="instruction set 'amx' is not one that this machine has"):
        native.force("amx")
    done = run("import kernels", PERFUSE_ISA="amx")
    assert done.returncode != 0 and "(it lacks " in done.stderr
    assert all(name in done.stderr for name in lacking)


def test_the_probe_measures_tiles(tiles_isa):
    for kind in KINDS:
        assert bandwidth.peak(kind, 4) > 0
        assert bandwidth.inner_loop(kind, 4) > 0


def test_a_forked_child_sets_up_tiles_of_its_own(tiles_isa):
    code = """
import os, sys
import numpy as np
from kernels import linear
weights = linear.pack(np.ones((600, 256), np.float32), "bf16")
x = np.ones((20, 256), np.float32)
want = linear.forward(weights, x)
child = os.fork()
if child == 0:
    os._exit(0 if np.array_equal(linear.forward(weights, x), want) else 3)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    done = run(code, PERFUSE_ISA=tiles_isa, PERFUSE_THREADS="2")
    assert done.returncode == 0, done.stderr
