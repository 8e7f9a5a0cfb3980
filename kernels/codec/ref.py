"""The dispatch codec in numpy: the native code gives the same bits."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernels.numbers import GROUP, Floats, groups, int8_rows, quiet


def row_bytes(hidden: int) -> int:
    """Codes, scales from the next multiple of 4 on, up to a multiple of 64."""
    return -(-(-(-hidden // 4) * 4 + groups(hidden) * 4) // 64) * 64


def encode(x_TH: Floats) -> tuple[NDArray[np.int8], Floats]:
    codes, scales = int8_rows(x_TH)
    flat = codes.reshape(len(x_TH), groups(x_TH.shape[1]) * GROUP)
    return np.ascontiguousarray(flat[:, : x_TH.shape[1]]), scales


def decode(codes_TH: NDArray[np.int8], scales_TG: Floats) -> Floats:
    wide = np.repeat(scales_TG, GROUP, axis=1)[:, : codes_TH.shape[1]]
    return codes_TH.astype(np.float32) * wide


def int8_row_bytes(hidden: int) -> int:
    """Of a row that is not padded: codes, and scales from the next multiple of 4 on."""
    return -(-hidden // 4) * 4 + groups(hidden) * 4


@quiet
def to_int8_rows(x_TH: Floats) -> NDArray[np.uint8]:
    hidden = x_TH.shape[1]
    rows = np.zeros((len(x_TH), int8_row_bytes(hidden)), dtype=np.uint8)
    codes, scales = encode(x_TH)
    rows[:, :hidden] = codes.view(np.uint8)
    rows[:, -(-hidden // 4) * 4 :] = scales.view(np.uint8)
    return rows


def pack(
    x_TH: Floats, destinations_TD: NDArray[Any], num_destinations: int
) -> tuple[NDArray[np.uint8], NDArray[np.int32], NDArray[np.int64]]:
    tokens, offsets = [], [0]
    for destination in range(num_destinations):
        tokens += np.nonzero((destinations_TD == destination).any(axis=1))[0].tolist()
        offsets.append(len(tokens))
    hidden = x_TH.shape[1]
    payload = np.zeros((len(tokens), row_bytes(hidden)), dtype=np.uint8)
    codes, scales = encode(x_TH[tokens])
    at = -(-hidden // 4) * 4
    payload[:, :hidden] = codes.view(np.uint8)
    payload[:, at : at + 4 * groups(hidden)] = scales.view(np.uint8)
    return payload, np.array(tokens, dtype=np.int32), np.array(offsets, dtype=np.int64)


def unpack(payload: NDArray[np.uint8], hidden: int) -> Floats:
    at = -(-hidden // 4) * 4
    codes = np.ascontiguousarray(payload[:, :hidden]).view(np.int8)
    scales = np.ascontiguousarray(payload[:, at : at + 4 * groups(hidden)]).view(np.float32)
    return decode(codes, scales)


def reduce(
    rows_RH: Floats, tokens_R: NDArray[Any], ranks_R: NDArray[Any], num_tokens: int
) -> Floats:
    out = np.zeros((num_tokens, rows_RH.shape[1]), dtype=np.float32)
    for row in np.lexsort((ranks_R, tokens_R)):
        if tokens_R[row] >= 0:
            out[tokens_R[row]] += rows_RH[row]
    return out
