"""A gated network: every expert is one, and so are the shared experts and a dense layer's."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from workers.model.parts.rows import Floats, linear, silu_product, transposed

# A tensor by its name.
Read = Callable[[str], Floats]


@dataclass(frozen=True, slots=True)
class GatedMlp:
    """down(silu(gate(x)) * up(x)), as [in, out]: gate and up side by side [H, 2I], down [I, H]."""

    gate_up: Floats
    down: Floats

    @classmethod
    def read(cls, read: Read, prefix: str) -> "GatedMlp":
        """`prefix` + gate_proj.weight, up_proj.weight and down_proj.weight."""
        parts = [read(f"{prefix}{name}_proj.weight") for name in ("gate", "up")]
        return cls(
            gate_up=transposed(np.concatenate(parts)),
            down=transposed(read(f"{prefix}down_proj.weight")),
        )

    @property
    def matrices(self) -> tuple[Floats, ...]:
        return self.gate_up, self.down

    def forward(self, x_TH: Floats) -> Floats:
        """[T, H] -> [T, H]."""
        product = linear(x_TH, self.gate_up)
        inner = self.down.shape[0]
        return linear(silu_product(product[:, :inner], product[:, inner:]), self.down)
