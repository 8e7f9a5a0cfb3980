"""What follows attention in a layer: a dense network, or experts of which a token visits a few."""

from dataclasses import dataclass, replace

from configs.model_config import share_of
from configs.shapes.weight import Role, Weight, matrix, vector


def _projections(
    prefix: str, hidden: int, inner: int, gated: bool, role: Role
) -> tuple[Weight, ...]:
    """Up and down, and a gate where there is one; none of width 0."""
    return (
        *matrix(f"{prefix}gate_proj", inner if gated else 0, hidden, role),
        *matrix(f"{prefix}up_proj", inner, hidden, role),
        *matrix(f"{prefix}down_proj", hidden, inner, role),
    )


@dataclass(frozen=True, slots=True)
class Dense:
    """gated   three matrices (SwiGLU, GeGLU), else two"""

    inner: int
    gated: bool = True
    bias: bool = False
    prefix: str = "mlp."

    def weights(self, hidden: int) -> tuple[Weight, ...]:
        """One layer's."""
        biases = (1 + self.gated) * self.inner + hidden if self.bias else 0
        return (
            *_projections(self.prefix, hidden, self.inner, self.gated, "dense"),
            *vector(f"{self.prefix}biases", biases),
        )

    def cut(self, share: tuple[int, int]) -> "Dense":
        """So many of so many parts of what is inside."""
        return replace(self, inner=share_of(self.inner, share))

    def __str__(self) -> str:
        return f"dense {self.inner:,}"


@dataclass(frozen=True, slots=True)
class Moe:
    """num_experts, top_k   of a layer, and those that a token visits
    inner         inner width of an expert
    shared        that of the experts that every token visits, all of them together; 0: none
    shared_gate   their output is weighed by one number a token
    beside        a dense network whose output is added (Gemma 4)
    choice_bias   the choice has a bias for each expert (DeepSeek-V3); router_bias: the router has
    latent        width that experts see: two projections lead there and back; 0: the hidden width
    latent_gains, router_gains   of norms there
    prefix        of the block's names; names   of one expert's matrices: gate, up, down
    """

    num_experts: int
    top_k: int
    inner: int
    shared: int = 0
    shared_gate: bool = False
    beside: Dense | None = None
    gated: bool = True
    bias: bool = False
    choice_bias: bool = False
    router_bias: bool = False
    latent: int = 0
    latent_gains: int = 0
    router_gains: int = 0
    prefix: str = "mlp."
    router: str = "gate"
    shared_name: str = "shared_experts"
    names: tuple[str, str, str] = ("gate_proj", "up_proj", "down_proj")

    def width(self, hidden: int) -> int:
        """Of a row on its way to an expert."""
        return self.latent or hidden

    def expert(self, hidden: int) -> tuple[Weight, ...]:
        """The experts of one layer."""
        width, gate = self.width(hidden), self.inner if self.gated else 0
        sizes = (gate, width), (self.inner, width), (width, self.inner)
        many = self.num_experts, self.top_k
        found = [
            Weight(f"{self.prefix}experts.*.{name}", rows, columns, "experts", *many)
            for name, (rows, columns) in zip(self.names, sizes, strict=True)
            if rows
        ]
        biases = gate + self.inner + width if self.bias else 0
        if biases:
            name = f"{self.prefix}experts.*.biases"
            found.append(Weight(name, biases, 1, "experts", *many, added=True))
        return tuple(found)

    def weights(self, hidden: int) -> tuple[Weight, ...]:
        """One layer's."""
        prefix, shared = self.prefix, f"{self.prefix}{self.shared_name}."
        biases = self.num_experts * (self.choice_bias + self.router_bias)
        weigher = 1 if self.shared_gate else 0
        beside = () if self.beside is None else self.beside.weights(hidden)
        return (
            *matrix(f"{prefix}{self.router}", self.num_experts, hidden, "router"),
            *vector(f"{prefix}{self.router}.biases", biases + self.router_gains),
            *matrix(f"{prefix}latent_down", self.latent, hidden, "shared"),
            *matrix(f"{prefix}latent_up", hidden if self.latent else 0, self.latent, "shared"),
            *vector(f"{prefix}latent_norms", self.latent_gains),
            *self.expert(hidden),
            *_projections(shared, hidden, self.shared, self.gated, "shared"),
            *matrix(f"{prefix}shared_expert_gate", weigher, hidden, "router"),
            *beside,
        )

    def cut(self, share: tuple[int, int]) -> "Moe":
        """So many of so many parts of what is inside of the networks beside the experts."""
        beside = None if self.beside is None else self.beside.cut(share)
        return replace(self, shared=share_of(self.shared, share), beside=beside)

    def __str__(self) -> str:
        shared = f" + {self.shared:,} shared" if self.shared else ""
        beside = f" + {self.beside}" if self.beside else ""
        latent = f" of width {self.latent:,}" if self.latent else ""
        return f"{self.top_k} of {self.num_experts} x {self.inner:,}{latent}{shared}{beside}"


Network = Dense | Moe
