"""A rank of a model in exact mode: some heads of some layers.

Its output projection gives a share of what attention adds to the residual stream, so there the
program asks for a sum over the ranks. Norms and gate need whole rows: each rank computes them for
itself, from the same sums and hence to the same bits. KV blocks hold the rank's own heads.

    enter ─▶ own heads ─▶ share ── Reduce ──▶ residual, norm, gate ── Experts ──▶
"""

from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from configs.families import load_model
from configs.parts import Heads, Part
from workers.hardware.work import Work
from workers.model.base import MoeInput, StepLayout
from workers.model.forward import after_gate
from workers.model.parts.rows import Floats
from workers.model.plain.part import PlainPart
from workers.model.program import Compute, Enter, Program, Reduce, Sums
from workers.model.work import WorkModel

# The launch after a sum. What it asks for is declared with the attention before it.
GATE = Work("gate")


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

    def layer(self, layer: int, enter: Enter, layout: StepLayout) -> Program[Enter]:
        """Two launches with the sum over the ranks between them, then the experts."""
        work = self.attend_work(layer, layout)
        x, share_TH = yield Compute(work, self._attention, (layer, enter, layout))
        sums_TH = yield Reduce(share_TH)
        x, moe = yield Compute(GATE, self._network, (layer, x, sums_TH))
        return (yield from after_gate(self, layer, x, moe))

    def _attention(
        self, layer: int, enter: Enter, layout: StepLayout
    ) -> tuple[Floats, NDArray[Any]]:
        x = enter()
        return x, self._layer(layer).attention(x, self._plans.of(layout))

    def _network(self, layer: int, x: Floats, sums_TH: Sums) -> tuple[Floats, MoeInput | None]:
        return self._layer(layer).network(self.merge(x, sums_TH))
