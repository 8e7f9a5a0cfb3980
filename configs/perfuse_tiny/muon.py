"""Muon: momentum whose matrix updates are orthogonalised by a Newton-Schulz iteration."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

# Quintic Newton-Schulz coefficients: they bring singular values near 1 in a few iterations.
_A, _B, _C = 3.4445, -4.7750, 2.0315


def orthogonalise(x: Tensor, steps: int = 5) -> Tensor:
    """Return the nearly orthogonal factors of the matrices x [count, rows, columns].

    The iteration tolerates rounding, so it runs in bfloat16, several times faster where the CPU
    multiplies it natively.
    """
    tall = x.shape[-2] > x.shape[-1]
    y = (x.mT if tall else x) / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    y = y.bfloat16()
    for _ in range(steps):
        gram = torch.bmm(y, y.mT)
        polynomial = torch.baddbmm(gram, gram, gram, beta=_B, alpha=_C)
        y = torch.baddbmm(y, polynomial, y, beta=_A)
    result: Tensor = y.mT if tall else y
    return result.to(x.dtype)


class Muon(torch.optim.Optimizer):
    """Muon with Nesterov momentum; a parameter [E, rows, columns] is E matrices."""

    def __init__(
        self,
        params: Iterable[nn.Parameter],
        lr: float,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
    ) -> None:
        defaults = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay}
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Update every parameter; equal shapes are orthogonalised in one batch."""
        for group in self.param_groups:
            shapes: dict[tuple[int, int], list[nn.Parameter]] = {}
            for parameter in group["params"]:
                if parameter.grad is not None:
                    rows, columns = parameter.shape[-2:]
                    shapes.setdefault((rows, columns), []).append(parameter)
            for (rows, columns), parameters in shapes.items():
                updates = [
                    self._momentum(p, group["momentum"]).reshape(-1, rows, columns)
                    for p in parameters
                ]
                scale = group["lr"] * max(1.0, rows / columns) ** 0.5
                directions = orthogonalise(torch.cat(updates))
                parts = directions.split([len(u) for u in updates])
                for parameter, part in zip(parameters, parts, strict=True):
                    parameter.mul_(1 - group["lr"] * group["weight_decay"])
                    parameter.sub_(scale * part.view_as(parameter))

    def _momentum(self, parameter: nn.Parameter, momentum: float) -> Tensor:
        """Accumulate the gradient and return the Nesterov direction."""
        assert parameter.grad is not None
        state = self.state[parameter]
        buffer: Tensor = state.setdefault("momentum", torch.zeros_like(parameter))
        buffer.lerp_(parameter.grad, 1 - momentum)
        return parameter.grad.lerp(buffer, momentum)
