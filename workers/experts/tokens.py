"""Tokens that want experts, and what comes of them."""

import hashlib
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from workers.errors import PerfuseError
from workers.hardware.energy.phase import Cause, Phase
from workers.model.program import Rows, Sums

# Of which a chip's steps may have the numbers at hand: more than run at once on several.
REQUESTS_MAX = 4_096


@lru_cache(REQUESTS_MAX)
def request_number(request_id: str) -> int:
    """A request's identity in token columns: 64 bits that are the same in every process. Every step
    asks for those of its sequences.
    """
    return int.from_bytes(hashlib.blake2b(request_id.encode(), digest_size=8).digest(), "little")


@dataclass(frozen=True, slots=True)
class Tokens:
    """T tokens of one layer that want experts.

    request_id    the user's request that the batch is traced under
    requests_T    number of each row's request (`request_number`)
    positions_T   its position in the stream
    hidden_TH     rows, [T, ...] as the model has them
    experts_TK, weights_TK   the gate's choice; an expert NOBODY is not asked
    cause         what their step is for
    """

    layer: int
    request_id: str
    requests_T: NDArray[np.uint64]
    positions_T: NDArray[np.int64]
    hidden_TH: Rows
    experts_TK: NDArray[np.int32]
    weights_TK: NDArray[np.float32]
    cause: Cause = Phase.SERVING


@dataclass(frozen=True, slots=True)
class Missing:
    """Rows of a dispatch that lack one shard's contribution, and why."""

    shard: str
    rows: NDArray[np.intp]
    error: PerfuseError


@dataclass(frozen=True, slots=True)
class Combined:
    """Merged sums of all rows; those of rows that are missing something are not whole."""

    sums_TH: Sums
    missing: tuple[Missing, ...]
