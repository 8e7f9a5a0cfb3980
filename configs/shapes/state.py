"""Linear attention and state spaces: a state of fixed size instead of keys and values.

A token multiplies and adds to the whole state. Counted is the recurrent form, each number of the
state: decay 1, key against state 2, update 2, query against state 2 operations for the delta rule
(Gated DeltaNet, arXiv 2412.06464, equation 10; Kimi Delta Attention alike); decay 1, update 2,
output 2 for Mamba-2 (arXiv 2405.21060, equation 16). Chunked forms of prefill do other sums.
"""

from dataclasses import dataclass, replace
from math import gcd

from configs.shapes.weight import Weight, matrix, vector


@dataclass(frozen=True, slots=True)
class DeltaNet:
    """Gated DeltaNet, as in Qwen3-Next and Qwen3.5. conv: taps of the short convolution."""

    key_heads: int
    value_heads: int
    key_dim: int
    value_dim: int
    conv: int

    @property
    def _widths(self) -> tuple[int, int]:
        return self.key_heads * self.key_dim, self.value_heads * self.value_dim

    def weights(self, hidden: int) -> tuple[Weight, ...]:
        keys, values = self._widths
        return (
            *matrix("linear_attn.in_proj_qkv", 2 * keys + values, hidden, "state"),
            *matrix("linear_attn.in_proj_z", values, hidden, "state"),
            *matrix("linear_attn.in_proj_b", self.value_heads, hidden, "state"),
            *matrix("linear_attn.in_proj_a", self.value_heads, hidden, "state"),
            *matrix("linear_attn.conv1d", 2 * keys + values, self.conv, "state"),
            *vector("linear_attn.dt_bias", self.value_heads),
            *vector("linear_attn.A_log", self.value_heads),
            *vector("linear_attn.norm", self.value_dim),
            *matrix("linear_attn.out_proj", hidden, values, "state"),
        )

    @property
    def state_numbers(self) -> int:
        """Of a sequence, in fp32."""
        return self.value_heads * self.key_dim * self.value_dim

    @property
    def conv_numbers(self) -> int:
        """Inputs of the convolution that are kept, in the activations' dtype."""
        keys, values = self._widths
        return (2 * keys + values) * (self.conv - 1)

    @property
    def token_flops(self) -> int:
        return 7 * self.state_numbers

    @property
    def parts(self) -> int:
        """Into so many equal ones, and divisors of it, its heads can be cut."""
        return gcd(self.key_heads, self.value_heads)

    def cut(self, share: tuple[int, int]) -> "DeltaNet":
        """So many of so many heads."""
        keys, values = (n * share[0] // share[1] for n in (self.key_heads, self.value_heads))
        return replace(self, key_heads=keys, value_heads=values)

    def __str__(self) -> str:
        return f"Gated DeltaNet {self.value_heads} x {self.key_dim} x {self.value_dim}"


@dataclass(frozen=True, slots=True)
class Kda:
    """Kimi Delta Attention: a decay for each channel. full_gate: the output's gate is one matrix,
    not two of low rank.
    """

    heads: int
    dim: int
    conv: int
    full_gate: bool = False

    def weights(self, hidden: int) -> tuple[Weight, ...]:
        width = self.heads * self.dim
        low = 0 if self.full_gate else self.dim
        return (
            *matrix("self_attn.q_proj", width, hidden, "state"),
            *matrix("self_attn.k_proj", width, hidden, "state"),
            *matrix("self_attn.v_proj", width, hidden, "state"),
            *matrix("self_attn.conv1d", 3 * width, self.conv, "state"),
            *matrix("self_attn.f_a_proj", self.dim, hidden, "state"),
            *matrix("self_attn.f_b_proj", width, self.dim, "state"),
            *vector("self_attn.dt_bias", width),
            *vector("self_attn.A_log", self.heads),
            *matrix("self_attn.b_proj", self.heads, hidden, "state"),
            *matrix("self_attn.g_a_proj", low, hidden, "state"),
            *matrix("self_attn.g_b_proj", width, low, "state"),
            *matrix("self_attn.g_proj", width if self.full_gate else 0, hidden, "state"),
            *vector("self_attn.o_norm", self.dim),
            *matrix("self_attn.o_proj", hidden, width, "state"),
        )

    @property
    def state_numbers(self) -> int:
        return self.heads * self.dim * self.dim

    @property
    def conv_numbers(self) -> int:
        return 3 * self.heads * self.dim * (self.conv - 1)

    @property
    def token_flops(self) -> int:
        return 7 * self.state_numbers

    @property
    def parts(self) -> int:
        return self.heads

    def cut(self, share: tuple[int, int]) -> "Kda":
        return replace(self, heads=self.heads * share[0] // share[1])

    def __str__(self) -> str:
        return f"Kimi Delta Attention {self.heads} x {self.dim} x {self.dim}"


@dataclass(frozen=True, slots=True)
class Mamba2:
    """A state space; B and C are shared by the heads of a group."""

    heads: int
    head_dim: int
    state: int
    groups: int
    conv: int
    conv_bias: bool = True
    bias: bool = False

    def weights(self, hidden: int) -> tuple[Weight, ...]:
        width, channels = self.heads * self.head_dim, self._channels
        rows = width + channels + self.heads
        return (
            *matrix("mixer.in_proj", rows, hidden, "state"),
            *matrix("mixer.conv1d", channels, self.conv, "state"),
            *vector("mixer.conv1d.bias", channels if self.conv_bias else 0),
            *vector("mixer.dt_bias", self.heads),
            *vector("mixer.A_log", self.heads),
            *vector("mixer.D", self.heads),
            *vector("mixer.norm", width),
            *matrix("mixer.out_proj", hidden, width, "state"),
            *vector("mixer.biases", rows + hidden if self.bias else 0),
        )

    @property
    def _channels(self) -> int:
        return self.heads * self.head_dim + 2 * self.groups * self.state

    @property
    def state_numbers(self) -> int:
        return self.heads * self.head_dim * self.state

    @property
    def conv_numbers(self) -> int:
        return self._channels * (self.conv - 1)

    @property
    def token_flops(self) -> int:
        return 5 * self.state_numbers

    @property
    def parts(self) -> int:
        return gcd(self.heads, self.groups)

    def cut(self, share: tuple[int, int]) -> "Mamba2":
        heads, groups = (n * share[0] // share[1] for n in (self.heads, self.groups))
        return replace(self, heads=heads, groups=groups)

    def __str__(self) -> str:
        return f"Mamba-2 {self.heads} x {self.head_dim} x {self.state}"


State = DeltaNet | Kda | Mamba2
