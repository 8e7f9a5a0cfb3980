"""A chip's part of a model that is known by its sizes alone, without weights: its programs, and the
work that they declare, are those of the real model. What hidden states are, its numerics say.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.model_config import ModelConfig
from configs.parts import Part as Held
from configs.precision import Precision
from configs.slices import Slice
from workers.hardware.work import Work
from workers.model.base import MoeInput, StepLayout
from workers.model.forward import after_gate, one_launch, over_ranks, over_slices
from workers.model.parts.partial import Part, PartOf
from workers.model.program import Attend, Compute, Enter, Hidden, Program, Rows
from workers.model.sliced import SlicedWorks
from workers.model.work import WorkModel

Entered = tuple[Hidden, MoeInput | None]


class SizedChip(ABC):
    """num_blocks   KV blocks of this chip        block_size   tokens in a block
    work         how work is counted: as of the real model
    part         layers and units that are held here; all where left out
    config       sizes of what is held here

    Layers have the numbers of the whole model, wherever they are named.
    """

    def __init__(
        self,
        config: ModelConfig,
        num_blocks: int,
        block_size: int,
        precision: Precision,
        work: WorkModel,
        part: Held | None = None,
    ) -> None:
        self.part = part = part or Held(0, config.num_layers)
        self._whole, self.config = config, part.of(config)
        self.num_blocks, self.block_size = num_blocks, block_size
        # Work is counted by the layers' numbers in the whole model: the first one embeds.
        held = replace(part, first_layer=0, num_layers=config.num_layers).of(config)
        self._work = replace(work, config=held)
        self._slice = Slice.of(part.heads, block_size)
        self._sliced = SlicedWorks(self._work, self._slice)
        self.block_bytes = self._slice.tokens * precision.kv_bytes_per_token(self.config)

    @property
    def kv_tier(self) -> str:
        return self._work.kv_tier

    def _check_ids(self, token_ids_T: NDArray[np.int64]) -> None:
        """Raises ValueError on ids outside the vocabulary."""
        if token_ids_T.size and not 0 <= token_ids_T.min() <= token_ids_T.max() < self.config.vocab:
            raise ValueError(
                f"token ids span {token_ids_T.min()} .. {token_ids_T.max()}; they must be from 0 "
                f"to {self.config.vocab - 1}"
            )

    def layer(self, layer: int, enter: Enter, layout: StepLayout) -> Program[Enter]:
        """One launch; three where some keys are elsewhere; two, with sums over the ranks behind
        them, where other ranks have heads of the layer, and three before the sum where they have
        slices of the same keys. Then the experts.
        """
        if self._slice.count > 1:
            works = self._sliced.of(layer, layout)
            return (yield from over_slices(self, works, layer, enter, layout))
        if self.part.heads is not None:
            return (yield from over_ranks(self, layer, enter, layout))
        if not layout.has_far:
            return (yield from one_launch(self, layer, enter, layout))
        x, moe = yield from self._apart(layer, enter, layout)
        return (yield from after_gate(self, layer, x, moe))

    def _apart(self, layer: int, enter: Enter, layout: StepLayout) -> Program[Entered]:
        works = self._work.attend_apart(layer, layout, self.block_size)
        x, q_TND = yield Compute(works.queries, self._queries, (layer, enter, layout))
        own_work = Compute(works.own, self._over_own, (layer, q_TND, layout))
        own, others = yield Attend(layer, q_TND, own_work)
        entered: Entered = yield Compute(
            works.values, self._values, (layer, x, own, others, layout)
        )
        return entered

    def slice_queries(self, layer: int, enter: Enter, layout: StepLayout) -> tuple[Hidden, Rows]:
        return self._queries(layer, enter, layout)

    def over_slice(
        self, layer: int, everyones: Sequence[Rows], layout: StepLayout
    ) -> tuple[Rows, ...]:
        """What each rank's queries find over the keys that are here."""
        return tuple(self._over_own(layer, q_TND, layout).out_TND for q_TND in everyones)

    def attend_work(self, layer: int, layout: StepLayout) -> Work:
        return self._work.attend(layer, layout)

    def logits_work(self, num_rows: int) -> Work:
        return self._work.logits(num_rows)

    # -- what launches compute -----------------------------------------------------------------

    @abstractmethod
    def attend(self, layer: int, x: Hidden, layout: StepLayout) -> Entered:
        """All of a layer that is here: see `LaunchModel`."""

    @abstractmethod
    def embed(self, token_ids_T: NDArray[np.int64]) -> Hidden: ...

    @abstractmethod
    def merge(self, x: Hidden, sums_TH: NDArray[Any]) -> Hidden: ...

    @abstractmethod
    def logits(self, x: Hidden, rows_R: NDArray[np.int64]) -> NDArray[np.float32]: ...

    @abstractmethod
    def read_blocks(self, block_ids: tuple[int, ...]) -> NDArray[Any]: ...

    @abstractmethod
    def write_blocks(self, block_ids: tuple[int, ...], blocks: NDArray[Any]) -> None: ...

    @abstractmethod
    def _queries(self, layer: int, enter: Enter, layout: StepLayout) -> tuple[Hidden, Rows]:
        """What entered, and its queries; the new tokens' keys go into their blocks."""

    @abstractmethod
    def _over_own(self, layer: int, q_TND: Rows, layout: StepLayout) -> Part:
        """What queries find over the keys that are here."""

    @abstractmethod
    def _values(
        self, layer: int, x: Hidden, own: Part, others: Sequence[PartOf], layout: StepLayout
    ) -> Entered:
        """What follows when all parts are there."""

    @abstractmethod
    def found_share(self, layer: int, found: Sequence[Rows]) -> Rows:
        """What the heads here add, of what was found for them over each slice of their keys."""

    @abstractmethod
    def attention_share(self, layer: int, enter: Enter, layout: StepLayout) -> tuple[Hidden, Rows]:
        """What entered, and what the heads here add to it: see `SharedModel`."""

    @abstractmethod
    def behind(
        self, layer: int, x: Hidden, sums_TH: Rows, layout: StepLayout
    ) -> tuple[Hidden, Rows | None, MoeInput | None]:
        """What follows when all heads are summed up: see `SharedModel`."""
