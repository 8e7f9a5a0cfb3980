"""Choosing tokens in numpy: what the native code must agree with bit for bit, and what runs
without it. The definition is in the package's docstring.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernels.numbers import Floats

Doubles = NDArray[np.float64]

WEIGHT_BITS = 44  # a weight of 1, as an integer, is 2^44
# Sums of weights stay below 2^63.
VOCAB_MAX = 1 << 19

# (exp(r) - 1 - r) / r^2 on [-ln2/2, ln2/2], lowest power first: interpolated at Chebyshev's
# points; with it exp is 1.6e-17 from the true one before rounding.
SERIES = tuple(
    float.fromhex(text)
    for text in (
        "0x1.0000000000001p-1 0x1.5555555555556p-3 0x1.5555555553d63p-5 0x1.11111111109b3p-7 "
        "0x1.6c16c1788bd90p-10 0x1.a01a01a7c41d5p-13 0x1.a019b90d2ae7ap-16 0x1.71de0dae63bb3p-19 "
        "0x1.289185613a3d6p-22 0x1.af38a9b0ec855p-26"
    ).split()
)
LOG2_E = float.fromhex("0x1.71547652b82fep+0")
# ln 2 in two parts: the first has so few bits that its product with an exponent is exact.
LN2_HIGH = float.fromhex("0x1.62e42fef00000p-1")
LN2_LOW = float.fromhex("0x1.473de6af278edp-34")
# exp(-32) is less than the smallest weight that counts, 2^-44.
LEAST = -32.0
# Larger ones say the same: any two float32 that differ are then further apart than LEAST.
INVERSE_MAX = 1e300


def inverse_of(temperature: float) -> float:
    with np.errstate(over="ignore"):
        return min(float(np.float64(1.0) / np.float64(temperature)), INVERSE_MAX)


def exponential(x_N: Doubles) -> Doubles:
    """exp of numbers from LEAST to 0: products and sums each rounded, in this order."""
    n_N = np.rint(x_N * LOG2_E)
    r_N = (x_N - n_N * LN2_HIGH) - n_N * LN2_LOW
    r2_N = r_N * r_N
    r4_N = r2_N * r2_N
    low, middle, more, high, last = (
        r_N * SERIES[power + 1] + SERIES[power] for power in range(0, len(SERIES), 2)
    )
    s_N = (low + middle * r2_N) + ((more + high * r2_N) + last * r4_N) * r4_N
    p_N = (r2_N * s_N + r_N) + 1.0
    return np.ldexp(p_N, n_N.astype(np.int64))


def weights(logits_N: Floats, most: float, temperature: float) -> NDArray[np.uint64]:
    """Weights as integers: floor(exp((logit - most) / temperature) * 2^44)."""
    with np.errstate(over="ignore"):  # to -infinity, which weighs 0
        x_N = (logits_N.astype(np.float64) - most) * inverse_of(temperature)
    y_N = np.ldexp(exponential(np.maximum(x_N, LEAST)), WEIGHT_BITS)
    return np.floor(y_N).astype(np.uint64)


def check(shape: tuple[int, ...], *parameters_R: NDArray[Any]) -> None:
    """Raise ValueError on shapes and parameters that the native code refuses too."""
    if len(shape) != 2 or not 1 <= shape[1] <= VOCAB_MAX:
        raise ValueError(f"logits_RV has shape {shape}; it must be [rows, 1 to {VOCAB_MAX}]")
    names = ("temperatures_R", "top_ks_R", "top_ps_R", "uniforms_R")
    for name, values_R in zip(names, parameters_R, strict=True):
        if values_R.shape != shape[:1]:
            raise ValueError(f"{name} has shape {values_R.shape}; dimension 0 must be {shape[0]}")
    for row, (temperature, top_k, top_p, uniform) in enumerate(zip(*parameters_R, strict=True)):
        for name, value, holds, right in (
            ("temperature", temperature, 0.0 <= temperature < math.inf, "finite and at least 0"),
            ("top_k", top_k, top_k >= 0, "0 (all) or more"),
            ("top_p", top_p, 0.0 < top_p <= 1.0, "above 0 and at most 1"),
            ("uniform", uniform, 0.0 <= uniform < 1.0, "at least 0 and below 1"),
        ):
            if not holds and (temperature != 0.0):
                raise ValueError(f"{name} of row {row} is {value:g}; it must be {right}")


def choose_row(
    logits_V: Floats, temperature: float, top_k: int, top_p: float, uniform: float
) -> int:
    """One sampled token, by sorting everything."""
    order = np.argsort(-logits_V, kind="stable")
    if top_k:
        order = order[:top_k]
    cumulative = np.cumsum(weights(logits_V[order], float(logits_V[order[0]]), temperature))
    total = int(cumulative[-1])
    if top_p < 1.0:
        wanted = min(max(math.ceil(top_p * float(total)), 1), total)
        kept = np.searchsorted(cumulative, np.uint64(wanted), side="left")
        total = int(cumulative[kept])
    target = min(math.floor(uniform * float(total)), total - 1)
    return int(order[np.searchsorted(cumulative, np.uint64(target), side="right")])


def choose(
    logits_RV: Floats,
    temperatures_R: Doubles,
    top_ks_R: NDArray[np.int64],
    top_ps_R: Doubles,
    uniforms_R: Doubles,
) -> tuple[NDArray[np.int64], Doubles]:
    for name, array, dtype in (
        ("logits_RV", logits_RV, "float32"),
        ("temperatures_R", temperatures_R, "float64"),
        ("top_ks_R", top_ks_R, "int64"),
        ("top_ps_R", top_ps_R, "float64"),
        ("uniforms_R", uniforms_R, "float64"),
    ):
        if array.dtype != dtype:
            raise ValueError(f"{name} has dtype {array.dtype}; it must be {dtype}")
    check(logits_RV.shape, temperatures_R, top_ks_R, top_ps_R, uniforms_R)
    ids = np.empty(len(logits_RV), dtype=np.int64)
    margins = np.empty(len(logits_RV), dtype=np.float64)
    for row, logits_V in enumerate(logits_RV):
        best = int(logits_V.argmax())
        most = float(logits_V[best])
        if math.isnan(most):
            raise ValueError(f"logits_RV holds NaN at row {row}, token {best}")
        others = [part.max() for part in (logits_V[:best], logits_V[best + 1 :]) if part.size]
        second = float(max(others)) if others else -math.inf
        margins[row] = 0.0 if others and most == second else most - second
        if not others:
            margins[row] = math.inf
        if temperatures_R[row] == 0.0:
            ids[row] = best
            continue
        if math.isinf(most):
            raise ValueError(
                f"the largest logit of row {row} is {most:g}; it must be finite to sample"
            )
        ids[row] = choose_row(
            logits_V,
            float(temperatures_R[row]),
            int(top_ks_R[row]),
            float(top_ps_R[row]),
            float(uniforms_R[row]),
        )
    return ids, margins
