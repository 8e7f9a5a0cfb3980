"""Keys that a query does not see, and values that nobody may take for its own.

Slots past a sequence's last token hold whatever their block held before: NaN too, where a request
went bad. A weight of zero makes nothing of a finite value, but 0 x NaN is NaN. So scores of unseen
keys are replaced, not added to, and where a mixture is not finite it is done again with zeros in
place of what is not seen, query by query: in the same shapes, hence to the same bits.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from workers.model.parts.rows import Floats
from workers.model.plain.plan import QUERY_TILE

UNSEEN = np.float32(-np.inf)


def hide(scores: Floats, unseen: NDArray[np.bool_]) -> None:
    """No weight for keys that are not seen, whatever their scores. `unseen` broadcasts."""
    np.copyto(scores, UNSEEN, where=unseen)


def mix(
    window: Floats, unseen_GQK: NDArray[np.bool_], product: Callable[[Floats], Floats], axis: int
) -> Floats:
    """`product(window)`, without what a query does not see.

    window   [G or 1, keys, ...], as the cache holds them
    product  weights times a window; queries of a tile lie along `axis` of what it returns
    """
    mixed = product(window)
    if np.isfinite(mixed).all():
        return mixed
    for query in range(QUERY_TILE):
        others = tuple(range(2, window.ndim))
        hidden = np.expand_dims(unseen_GQK[:, query], others)
        clean = product(np.where(hidden, np.float32(0.0), window))
        np.moveaxis(mixed, axis, 0)[query] = np.moveaxis(clean, axis, 0)[query]
    return mixed
