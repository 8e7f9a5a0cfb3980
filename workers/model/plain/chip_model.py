"""A chip's part of a model in exact mode, all heads in one place: a layer is one launch."""

from workers.model.base import MoeInput, StepLayout
from workers.model.forward import one_launch
from workers.model.parts.rows import Floats
from workers.model.plain.part import PlainPart
from workers.model.program import Enter, Program


class PlainChipModel(PlainPart):
    """LaunchModel for one Hugging Face folder, fp32; constructed as `PlainPart` is."""

    def layer(self, layer: int, enter: Enter, layout: StepLayout) -> Program[Enter]:
        """One launch, then the experts."""
        return one_launch(self, layer, enter, layout)

    def attend(self, layer: int, x: Floats, layout: StepLayout) -> tuple[Floats, MoeInput | None]:
        """Writes the new tokens' KV, then attention with residual, norm, and the gate or a dense
        network.
        """
        return self._layer(layer).forward(x, self._plans.of(layout))
