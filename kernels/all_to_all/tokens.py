"""What a rank dispatches."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Tokens:
    """T tokens of one layer that want experts; arrays at any alignment and stride.

    requests_T, positions_T  each token's identity, which travels with it
    experts_TK, weights_TK   the gate's choice; expert -1 is nobody
    hidden_TH                rows [T, H] float32, which are rounded as they leave; or as they travel
                             already: bf16 as uint16 [T, H], int8 as the dispatch codec packs it,
                             uint8 [T, row_bytes]
    """

    requests_T: NDArray[np.uint64]
    positions_T: NDArray[np.int64]
    experts_TK: NDArray[np.int32]
    weights_TK: NDArray[np.float32]
    hidden_TH: NDArray[Any]
