"""Which of a model's weights are stored how: wide, or in one of a folder's formats."""

from collections.abc import Callable
from dataclasses import dataclass

from configs.shapes.formats import BF16, Format
from configs.shapes.weight import Weight

# What no writer quantises.
_ALWAYS_WIDE = ("norm", "router", "mix")


@dataclass(frozen=True, slots=True)
class Storage:
    """wide    of all that has no format of its own
    choose   from a module's whole name to its format, or None; None: nothing is quantised
    same_in_all_layers   a layer's number makes no difference to `choose`
    unknown  why bytes are at most those said: a format that no file describes
    words    how it is told
    """

    wide: Format = BF16
    choose: Callable[[str], Format | None] | None = None
    same_in_all_layers: bool = True
    unknown: str = ""
    words: str = ""

    def of(self, layer: int | None, weight: Weight) -> Format:
        """The format of a weight in a layer, or outside of layers."""
        if self.choose is None or weight.added or weight.role in _ALWAYS_WIDE:
            return self.wide
        if "conv1d" in weight.name:
            return self.wide
        module = weight.name.replace("*", "0")
        found = self.choose(module if layer is None else f"model.layers.{layer}.{module}")
        return self.wide if found is None else found

    def num_bytes(self, layer: int | None, weight: Weight) -> int:
        """Of all copies of a weight."""
        return weight.copies * self.of(layer, weight).num_bytes(weight.rows, weight.columns)

    def __str__(self) -> str:
        return self.words or str(self.wide)
