"""KV block ids from outside, before they index a cache."""

from typing import Any

import numpy as np

from workers.model.parts.positions import Indices


def checked_blocks(block_ids: Any, num_blocks: int) -> Indices:
    """As an array. Raises ValueError on ids outside a cache of so many."""
    ids = np.asarray(block_ids, dtype=np.int64)
    if ids.size and not 0 <= ids.min() <= ids.max() < num_blocks:
        raise ValueError(
            f"KV block ids span {ids.min()} .. {ids.max()}; they must be from 0 to {num_blocks - 1}"
        )
    return ids
