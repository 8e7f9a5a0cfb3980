"""Tokens on their way to experts and back: int8 with a scale for each 128 channels, or bf16.

    rows_TW = codec.to_rows(x_TH, "int8")                                     # one array a message
    x_TH = codec.from_rows(rows_TW, hidden)                                   # where it arrives
    payload, tokens_R, offsets = codec.pack(x_TH, destinations_TD, num_destinations)
    rows_RH = codec.unpack(payload[offsets[d] : offsets[d + 1]], hidden)      # at destination d
    out_TH = codec.reduce(rows_RH, tokens_R, ranks_R, num_tokens)             # back at the source

Letters: T tokens, H hidden, G groups of 128 channels, D destinations a token, R rows, W entries of
a row as it travels.
"""

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from kernels.codec import ref
from kernels.native import lib
from kernels.numbers import Floats, from_bf16, groups, to_bf16

Wire = Literal["fp32", "bf16", "int8"]


def row_bytes(hidden: int) -> int:
    """Bytes of one packed row: a multiple of 64."""
    if hidden < 1:
        raise ValueError(f"hidden is {hidden}; it must be at least 1")
    return ref.row_bytes(hidden)


def _check_matrix(name: str, array: NDArray[Any]) -> None:
    if array.ndim != 2:
        raise ValueError(f"{name} has shape {array.shape}; it must have 2 dimensions")


def encode(x_TH: Floats) -> tuple[NDArray[np.int8], Floats]:
    """int8 codes [T, H] and scales [T, G] float32; a group of zeros has scale 0.

    NaN or infinity make their group's scale so, and the decoded group with it.
    """
    _check_matrix("x_TH", x_TH)
    if lib is None:
        return ref.encode(x_TH)
    tokens, hidden = x_TH.shape
    codes = np.empty((tokens, hidden), dtype=np.int8)
    scales = np.empty((tokens, groups(hidden)), dtype=np.float32)
    lib.codec_encode(x_TH, codes, scales)
    return codes, scales


def decode(codes_TH: NDArray[np.int8], scales_TG: Floats) -> Floats:
    """The reverse of `encode`, within half a step."""
    if lib is None:
        return ref.decode(codes_TH, scales_TG)
    out = np.empty(codes_TH.shape, dtype=np.float32)
    lib.codec_decode(codes_TH, scales_TG, out)
    return out


def row_width(kind: Wire, hidden: int) -> int:
    """W: entries of a row of `to_rows`, of 4, 2 and 1 bytes."""
    return ref.int8_row_bytes(hidden) if kind == "int8" else hidden


def to_rows(x_TH: Floats, kind: Wire) -> NDArray[Any]:
    """Rows as messages carry them, [T, W]: float32 as they are; bf16 as uint16, rounded to nearest
    even; or bytes: int8 codes [H], zeros up to a multiple of 4, then G scales in float32.
    """
    _check_matrix("x_TH", x_TH)
    if kind == "fp32":
        return x_TH
    if lib is None:
        return to_bf16(x_TH) if kind == "bf16" else ref.to_int8_rows(x_TH)
    tokens, hidden = x_TH.shape
    if kind == "bf16":
        rounded = np.empty((tokens, hidden), dtype=np.uint16)
        lib.codec_to_bf16(x_TH, rounded)
        return rounded
    rows = np.empty((tokens, ref.int8_row_bytes(hidden)), dtype=np.uint8)
    lib.codec_to_int8(x_TH, rows)
    return rows


def from_rows(rows_TW: NDArray[Any], hidden: int) -> Floats:
    """What rows of `to_rows` stand for, [T, H] float32; its dtype says which kind it is.

    Raises ValueError on another dtype or width.
    """
    _check_matrix("rows_TW", rows_TW)
    kind: Wire | None = _WIRE_KINDS.get(rows_TW.dtype.str)
    if kind is None:
        raise ValueError(f"rows_TW is {rows_TW.dtype}; it must be float32, uint16 or uint8")
    if rows_TW.shape[1] != row_width(kind, hidden):
        raise ValueError(
            f"rows_TW has shape {rows_TW.shape}; dimension 1 of {kind} must be "
            f"{row_width(kind, hidden)}"
        )
    if kind == "fp32":
        return rows_TW
    if lib is None:
        return from_bf16(rows_TW) if kind == "bf16" else ref.unpack(rows_TW, hidden)
    out = np.empty((len(rows_TW), hidden), dtype=np.float32)
    (lib.codec_from_bf16 if kind == "bf16" else lib.codec_from_int8)(rows_TW, out)
    return out


_WIRE_KINDS: dict[str, Wire] = {"<f4": "fp32", "<u2": "bf16", "|u1": "int8"}


def pack(
    x_TH: Floats, destinations_TD: NDArray[Any], num_destinations: int
) -> tuple[NDArray[np.uint8], NDArray[np.int32], NDArray[np.int64]]:
    """Encode tokens into one row for each destination that they name; -1 names none.

    Returns the payload [R, row_bytes], the token of each row, and where each destination's rows
    begin: offsets [num_destinations + 1]. Rows are by destination, then token; naming one twice
    sends once. Raises ValueError on destinations past the end.
    """
    _check_matrix("x_TH", x_TH)
    if num_destinations < 1:
        raise ValueError(f"num_destinations is {num_destinations}; it must be at least 1")
    if lib is None:
        if destinations_TD.size and destinations_TD.max() >= num_destinations:
            raise ValueError(
                f"destinations_TD names {destinations_TD.max()}; there are {num_destinations}"
            )
        return ref.pack(x_TH, destinations_TD, num_destinations)
    rows_max = destinations_TD.size
    payload = np.empty((rows_max, row_bytes(x_TH.shape[1])), dtype=np.uint8)
    tokens = np.empty(rows_max, dtype=np.int32)
    offsets = np.empty(num_destinations + 1, dtype=np.int64)
    rows = lib.codec_pack(x_TH, destinations_TD, payload, tokens, offsets)
    return payload[:rows], tokens[:rows], offsets


def unpack(payload: NDArray[np.uint8], hidden: int) -> Floats:
    """Packed rows as float32 [R, H]."""
    if payload.ndim != 2 or payload.shape[1] != row_bytes(hidden):
        raise ValueError(
            f"payload has shape {payload.shape}; dimension 1 must be {row_bytes(hidden)}"
        )
    if lib is None:
        return ref.unpack(payload, hidden)
    out = np.empty((len(payload), hidden), dtype=np.float32)
    lib.codec_unpack(payload, out)
    return out


def reduce(
    rows_RH: Floats, tokens_R: NDArray[Any], ranks_R: NDArray[Any], num_tokens: int
) -> Floats:
    """Sum of each token's rows by ascending rank, [num_tokens, H] float32.

    The same bits in whatever order the rows arrived. Token -1 marks an unused row, which may hold
    NaN. Raises ValueError where a rank sends a token twice: then the order would be chance.
    """
    _check_matrix("rows_RH", rows_RH)
    if lib is None:
        used = np.asarray(tokens_R) >= 0
        pairs = list(zip(tokens_R[used].tolist(), ranks_R[used].tolist(), strict=True))
        if len(dict.fromkeys(pairs)) != len(pairs):
            raise ValueError("a rank sends a token twice; the order of its rows would be chance")
        return ref.reduce(rows_RH, tokens_R, ranks_R, num_tokens)
    out = np.empty((num_tokens, rows_RH.shape[1]), dtype=np.float32)
    lib.codec_reduce(rows_RH, tokens_R, ranks_R, out)
    return out
