"""What an expert adds to a token."""

import numpy as np
from numpy.typing import NDArray

from workers.model.digest.mixing import Digests, mixed, stepped


def expert_sums(
    rows_T: Digests,
    experts_TK: Digests,
    weights_TK: NDArray[np.float32],
    here_TK: NDArray[np.bool_],
) -> Digests:
    """[T]: row, the digest of each expert (or [K] of each place) and the bits of the gate's weight,
    mixed; summed over the experts that are here.
    """
    terms_TK = stepped(weights_TK.view(np.uint32))
    terms_TK += rows_T[:, None]
    terms_TK += experts_TK
    mixed(terms_TK)
    terms_TK *= here_TK
    sums: Digests = terms_TK.sum(axis=1)
    return sums
