"""What an all-to-all computes, in numpy and in one process: all ranks at once, nothing shared."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernels import codec
from kernels.all_to_all.tokens import Tokens
from kernels.numbers import from_bf16, quiet, to_bf16

NOBODY = -1


@dataclass(frozen=True, slots=True)
class Arrival:
    """What a rank gets of another: N tokens in order, their rows as float32 [N, H]."""

    tokens_N: NDArray[np.intp]
    requests_N: NDArray[np.uint64]
    positions_N: NDArray[np.int64]
    experts_NK: NDArray[np.int32]
    weights_NK: NDArray[np.float32]
    rows_NH: NDArray[np.float32]


def travelled(rows_NH: NDArray[Any], form: str) -> NDArray[Any]:
    """Rows as they are at the other end: rounded once, float64 for fp64, else float32."""
    if form == "fp64":
        return rows_NH.astype(np.float64)
    floats = np.asarray(rows_NH, np.float32)
    if form == "bf16":
        return from_bf16(to_bf16(floats))
    if form == "int8":
        return codec.ref.decode(*codec.ref.encode(floats))
    return floats


def dispatch(tokens: Tokens, owners_E: NDArray[np.int32], rank: int, form: str) -> Arrival:
    """What of these tokens reaches a rank: each once, and in it only that rank's experts."""
    here_TK = owners_E[tokens.experts_TK] == rank
    (tokens_N,) = np.nonzero(here_TK.any(axis=1))
    return Arrival(
        tokens_N,
        tokens.requests_T[tokens_N],
        tokens.positions_T[tokens_N],
        np.where(here_TK, tokens.experts_TK, np.int32(NOBODY))[tokens_N],
        tokens.weights_TK[tokens_N],
        travelled(tokens.hidden_TH[tokens_N], form),
    )


@quiet
def combine(
    num_tokens: int,
    hidden: int,
    answers: list[tuple[NDArray[np.intp], NDArray[Any]]],
    form: str,
) -> NDArray[Any]:
    """Sums of what all ranks answered, in their order: (tokens [N], sums [N, H]) of each."""
    sums_TH = np.zeros((num_tokens, hidden), np.float64 if form == "fp64" else np.float32)
    for tokens_N, sums_NH in answers:
        sums_TH[tokens_N] += travelled(sums_NH, form)
    return sums_TH
