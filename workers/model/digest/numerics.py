"""Digests on their way: what is carried is 8 bytes a row; what is charged is what the real model
would send.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.model_config import ModelConfig
from configs.precision import KV_KINDS, Precision, WireKind
from kernels import codec
from workers.model.digest.shape import KvSizes
from workers.model.numerics import Places, numerics_of, wire_formats
from workers.model.program import Rows, Sums

_DIGEST_BYTES = 8


@dataclass(frozen=True, slots=True)
class Digest:
    """Numerics of digests; sums merge modulo 2^64, so in any order.

    row, sum        bytes that a link is charged for a row, and for a partial sum
    kv              what digests of keys stand for
    free_metadata   rows, sums and keys are all that a link is charged for
    kinds           what digests of keys stand for in other numbers than the cluster's
    """

    row: int
    sum: int
    kv: KvSizes
    free_metadata: bool = False
    kinds: Mapping[str, KvSizes] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        config: ModelConfig,
        precision: Precision,
        row: WireKind,
        *,
        free_metadata: bool,
        carried: tuple[int, ...] = (),
        block_tokens: int = 1,
    ) -> "Digest":
        """As a cluster with real numbers of this precision would charge. Scales are metadata.

        carried   (bytes, tokens) that stand for keys (`KvSizes`); left out, a digest for each
                  token's
        block_tokens   of a block that travels
        """
        real = numerics_of(precision, config.hidden, row)
        travels_as, _ = wire_formats(precision, row)
        width = config.hidden if free_metadata else codec.row_width(travels_as, config.hidden)
        sizes = real.row_bytes(width), real.sum_bytes(config.hidden)
        kinds: dict[str, KvSizes] = {
            kind: KvSizes.of(
                config, replace(precision, kv=kind), *carried, block_tokens=block_tokens
            )
            for kind in KV_KINDS
        }
        return cls(*sizes, kinds[precision.kv], free_metadata, kinds)

    def row_bytes(self, width: int) -> int:
        return self.row

    def sum_bytes(self, width: int) -> int:
        return self.sum

    def kv_bytes(self, blocks: NDArray[Any]) -> int:
        num = len(blocks)
        return self.kv.blocks_bytes(num, blocks.nbytes // num) if num else 0

    def of_kv(self, numbers: str | None) -> "Digest":
        return self if numbers is None else replace(self, kv=self.kinds[numbers])

    def query_bytes(self, heads: NDArray[Any]) -> int:
        return self.kv.query_bytes(len(heads), widths=heads.ndim > 2)

    def sent(self, rows_T: Rows) -> Rows:
        """[T, 8] bytes: as rows of bytes the kernels spread them."""
        return np.ascontiguousarray(rows_T).view(np.uint8).reshape(len(rows_T), _DIGEST_BYTES)

    def received(self, rows_T: Rows) -> Rows:
        if rows_T.dtype != np.uint8 or rows_T.shape[1:] != (_DIGEST_BYTES,):
            raise ValueError(f"rows are {rows_T.dtype} {rows_T.shape}: digests are uint8 [T, 8]")
        return np.ascontiguousarray(rows_T).view(np.uint64).reshape(len(rows_T))

    def answered(self, sums_T: Sums) -> Sums:
        return sums_T

    def zero(self, rows_T: Rows) -> Sums:
        return np.zeros(len(rows_T), dtype=np.uint64)

    def add(self, sums_T: Sums, places: Places, partial: Sums) -> None:
        sums_T[places] += partial

    def stretch(self, sums_T: Sums, rows: NDArray[np.intp], factors: NDArray[np.float64]) -> None:
        """What has come stays what it is: there is no part of a digest."""
