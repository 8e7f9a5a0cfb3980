"""A chip's embedding: single rows of it are read, so it is kept as stored, not packed.

Letters: T tokens, H hidden, V vocabulary.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.precision import Precision
from kernels.numbers import Floats, from_bf16, to_bf16


class Embedding:
    """Rows by token id, fp32 or bf16."""

    def __init__(self, table_VH: Floats, precision: Precision) -> None:
        is_wide = precision.embedding == "fp32"
        self._table_VH: NDArray[Any] = table_VH if is_wide else to_bf16(table_VH)

    def rows(self, token_ids_T: NDArray[np.int64]) -> Floats:
        """[T, H], copies. Raises ValueError on ids outside the vocabulary."""
        vocab = len(self._table_VH)
        if token_ids_T.size and not 0 <= token_ids_T.min() <= token_ids_T.max() < vocab:
            raise ValueError(
                f"token ids span {token_ids_T.min()} .. {token_ids_T.max()}; "
                f"they must be from 0 to {vocab - 1}"
            )
        rows = self._table_VH[token_ids_T]
        return rows if rows.dtype == np.float32 else from_bf16(rows)
