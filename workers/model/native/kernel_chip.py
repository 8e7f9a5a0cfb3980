"""What chips on the kernels have in common: blocks of a cache, declared work, a plan for each step.

Letters: T tokens of the step, H hidden.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from configs.model_config import ModelConfig
from configs.precision import Precision
from kernels import attention, exchange, mla
from kernels.numbers import Floats
from workers.hardware.work import Work
from workers.model.base import MoeInput, StepLayout
from workers.model.embedding import Embedding
from workers.model.forward import one_launch
from workers.model.no_memory import no_memory
from workers.model.plans import Plans
from workers.model.program import Enter, Program
from workers.model.work import WorkModel

Cache = TypeVar("Cache", attention.KvCache, mla.LatentCache)
Plan = TypeVar("Plan")


class KernelChip(ABC, Generic[Cache, Plan]):
    """The part of a ChipModel that does not depend on the kind of attention.

    make_cache   makes the KV blocks; raises MemoryError where they are too many
    work         how work is counted; in "hbm" where left out
    """

    _embedding: Embedding  # set by each chip, from the checkpoint that it reads

    def __init__(
        self,
        config: ModelConfig,
        num_blocks: int,
        block_size: int,
        work: WorkModel | None,
        precision: Precision,
        make_cache: Callable[[], Cache],
    ) -> None:
        self.config = config
        self.num_blocks = num_blocks
        self.block_size = block_size
        self._work = work or WorkModel(config, precision)
        self._plans = Plans(self._new_plan)
        try:
            self._cache: Cache = make_cache()
        except MemoryError:
            num_bytes = num_blocks * block_size * precision.kv_bytes_per_token(config)
            raise no_memory(num_blocks, num_bytes) from None

    @abstractmethod
    def _new_plan(self, layout: StepLayout) -> Plan:
        """Where a step's tokens stand. Raises ValueError where blocks do not cover them."""

    @abstractmethod
    def attend(self, layer: int, x: Floats, layout: StepLayout) -> tuple[Floats, MoeInput | None]:
        """Writes the new tokens' KV, then attention with residual, norm, and the gate with shared
        experts or a dense network. Overwrites x.
        """

    @abstractmethod
    def logits(self, x: Floats, rows_R: NDArray[np.int64]) -> Floats:
        """[R, V] float32."""

    def layer(self, layer: int, enter: Enter, layout: StepLayout) -> Program[Enter]:
        """One launch, then the experts."""
        return one_launch(self, layer, enter, layout)

    @property
    def block_bytes(self) -> int:
        """Bytes of one KV block over all layers."""
        return self._cache.block_bytes

    @property
    def kv_tier(self) -> str:
        return self._work.kv_tier

    def embed(self, token_ids_T: NDArray[np.int64]) -> Floats:
        """[T, H]. Raises ValueError on ids outside the vocabulary."""
        return self._embedding.rows(token_ids_T)

    def merge(self, x: Floats, sums_TH: NDArray[Any]) -> Floats:
        """Residual plus the experts' sum: one rounding. Overwrites x."""
        exchange.merge(x, sums_TH)
        return x

    def read_blocks(self, block_ids: tuple[int, ...]) -> NDArray[np.uint8]:
        """Copies: [block, block_bytes] uint8, the same in every cache of this model's kind."""
        return self._cache.read_blocks(np.array(block_ids, dtype=np.int64))

    def write_blocks(self, block_ids: tuple[int, ...], blocks: NDArray[Any]) -> None:
        """The reverse of `read_blocks`. Raises ValueError where the shape does not fit."""
        self._cache.write_blocks(np.array(block_ids, dtype=np.int64), blocks)

    def attend_work(self, layer: int, layout: StepLayout) -> Work:
        return self._work.attend(layer, layout)

    def logits_work(self, num_rows: int) -> Work:
        return self._work.logits(num_rows)
