"""A rank of a model in exact mode: some heads of some layers.

Its output projection gives a share of what attention adds to the residual stream, so there the
program asks for a sum over the ranks; and again where a network stands beside the experts, of which
a rank has a share as well. Norms and gate need whole rows: each rank computes them for itself, from
the same sums and hence to the same bits. KV blocks hold the rank's own heads, or the latent.

    enter ─▶ own heads ─▶ share ── Reduce ──▶ residual, norm, gate ── (Reduce) ── Experts ──▶
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.families import load_model
from configs.heads import Heads
from configs.parts import Part
from workers.model.base import MoeInput, StepLayout
from workers.model.forward import over_ranks, over_slices
from workers.model.parts.partial import Part as Found
from workers.model.parts.partial import PartOf, merged
from workers.model.parts.rows import Floats, on_grid
from workers.model.plain.part import PlainPart
from workers.model.program import Enter, Program, Sums
from workers.model.sliced import SlicedWorks
from workers.model.work import WorkModel


class PlainRank(PlainPart):
    """ChipModel of the part given, or of some heads of all layers; the ranks of a chip hold each
    head of each layer once.
    """

    def __init__(
        self,
        folder: str | Path,
        held: Heads | Part,
        num_blocks: int,
        block_size: int = 16,
        work: WorkModel | None = None,
    ) -> None:
        if isinstance(held, Heads):
            held = Part(0, load_model(folder).num_layers, held)
        super().__init__(folder, num_blocks, block_size, work, held)
        self._sliced = SlicedWorks(self._work, self._slice)

    def layer(self, layer: int, enter: Enter, layout: StepLayout) -> Program[Enter]:
        """Two launches with sums over the ranks behind them, then the experts; before the first sum
        three, where other ranks hold slices of the same keys.
        """
        if self._slice.count > 1:
            works = self._sliced.of(layer, layout)
            return over_slices(self, works, layer, enter, layout)
        return over_ranks(self, layer, enter, layout)

    def attention_share(
        self, layer: int, enter: Enter, layout: StepLayout
    ) -> tuple[Floats, NDArray[Any]]:
        x = enter()
        return x, _share(self._layer(layer).attention(x, self._plans.of(layout)))

    def slice_queries(self, layer: int, enter: Enter, layout: StepLayout) -> tuple[Floats, Floats]:
        x = enter()
        return x, self._layer(layer).queries(x, self._plans.of(layout))

    def over_slice(
        self, layer: int, everyones: Sequence[Floats], layout: StepLayout
    ) -> tuple[Floats, ...]:
        """For each rank [T, N, D + 1]: behind what is mixed, the log-sum-exp of the scores."""
        plan = self._plans.of(layout)
        part = self._layer(layer).over_slice(np.concatenate(everyones, axis=1), plan)
        found = np.concatenate((part.out_TND, part.lse_TN[..., None]), axis=2)
        return tuple(map(np.ascontiguousarray, np.split(found, len(everyones), axis=1)))

    def found_share(self, layer: int, found: Sequence[Floats]) -> NDArray[np.float64]:
        own, *others = (Found(one[..., :-1], one[..., -1]) for one in found)
        rows = np.arange(len(own.out_TND))
        mixed_TND = merged(own, [PartOf(rows, part) for part in others])
        return _share(self._layer(layer).share(mixed_TND))

    def behind(
        self, layer: int, x: Floats, sums_TH: Sums, layout: StepLayout
    ) -> tuple[Floats, NDArray[Any] | None, MoeInput | None]:
        x = self.merge(x, sums_TH)
        added_TH, moe = self._layer(layer).beside(x)
        return x, None if added_TH is None else _share(added_TH), moe


def _share(added_TH: NDArray[Any]) -> NDArray[np.float64]:
    """Of a sum over ranks, to be the same in whatever order it is made."""
    return added_TH if added_TH.dtype == np.float64 else on_grid(added_TH.astype(np.float64))
