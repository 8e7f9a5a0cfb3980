"""The chip's part of one decoder layer: attention, then a dense network or a gate.

Which attention and which network follows from the configuration, here and nowhere else.
"""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from configs.model_config import ModelConfig
from kernels.numbers import quiet
from workers.model.base import MoeInput
from workers.model.parts.dense import GatedMlp, Read
from workers.model.parts.gating import Gating
from workers.model.parts.partial import Part
from workers.model.parts.rope import Rope
from workers.model.parts.rows import Floats, linear, rms_norm, transposed
from workers.model.plain import gqa, mla
from workers.model.plain.paged_cache import PagedCache
from workers.model.plain.plan import StepPlan


class Attention(Protocol):
    """One layer's attention."""

    @property
    def matrices(self) -> tuple[Floats, ...]:
        """Weights of all products that `forward` computes in tiles."""
        ...

    def forward(self, x_TH: Floats, plan: StepPlan) -> NDArray[Any]:
        """Writes the new tokens' KV, then mixes values: [T, H], without the residual; float64 where
        heads are summed.
        """
        ...

    def queries(self, x_TH: Floats, plan: StepPlan) -> Floats:
        """[T, N, D], as they meet the cache; the new tokens' KV goes into its blocks."""
        ...

    def over_slice(self, q_TND: Floats, plan: StepPlan) -> Part:
        """What queries of any heads that look at the same keys find over those that are here."""
        ...

    def share(self, mixed_TND: Floats) -> NDArray[Any]:
        """What is found for the heads here, as `forward` gives it."""
        ...


class Network(Protocol):
    """What follows attention."""

    @property
    def matrices(self) -> tuple[Floats, ...]: ...

    def forward(self, hidden_TH: Floats) -> tuple[Floats | None, MoeInput | None]:
        """What is added to the residual stream here, if anything, and what experts are to add."""
        ...


class DenseNetwork:
    """One network for all tokens; no expert is asked."""

    def __init__(self, read: Read) -> None:
        self._mlp = GatedMlp.read(read, "mlp.")

    @property
    def matrices(self) -> tuple[Floats, ...]:
        return self._mlp.matrices

    def forward(self, hidden_TH: Floats) -> tuple[Floats, None]:
        return self._mlp.forward(hidden_TH), None


class SparseNetwork:
    """A gate to experts elsewhere, and the shared experts if there are any: every token visits
    them, so they need no message.
    """

    def __init__(self, config: ModelConfig, read: Read) -> None:
        has_bias = config.gate.has_bias
        bias_E = read("mlp.gate.e_score_correction_bias") if has_bias else None
        self._gate_HE = transposed(read("mlp.gate.weight"))
        self._router = Gating(config.gate, bias_E, config.top_k, config.norm_topk_prob)
        has_shared = config.shared_intermediate > 0
        self._shared = GatedMlp.read(read, "mlp.shared_experts.") if has_shared else None

    @property
    def matrices(self) -> tuple[Floats, ...]:
        shared = () if self._shared is None else self._shared.matrices
        return self._gate_HE, *shared

    def forward(self, hidden_TH: Floats) -> tuple[Floats | None, MoeInput]:
        chosen = self._router.choose(linear(hidden_TH, self._gate_HE))
        added_TH = None if self._shared is None else self._shared.forward(hidden_TH)
        return added_TH, MoeInput(hidden_TH, *chosen)


class Layer:
    """`read` gives its tensors, named without the layer's prefix, in the sizes of `config`."""

    def __init__(
        self, config: ModelConfig, layer: int, read: Read, cache: PagedCache, rope: Rope
    ) -> None:
        self._eps = config.rms_eps
        self._input_norm = read("input_layernorm.weight")
        self._attention = _attention(config, layer, read, cache, rope)
        self._post_norm = read("post_attention_layernorm.weight")
        self._network: Network = (
            DenseNetwork(read) if config.is_dense(layer) else SparseNetwork(config, read)
        )

    @property
    def matrices(self) -> tuple[Floats, ...]:
        return *self._attention.matrices, *self._network.matrices

    def forward(self, x_TH: Floats, plan: StepPlan) -> tuple[Floats, MoeInput | None]:
        """Attention and network with their residuals; MoeInput where experts have a share."""
        return self.network(merge(x_TH, self.attention(x_TH, plan)))

    @quiet
    def attention(self, x_TH: Floats, plan: StepPlan) -> NDArray[Any]:
        """What attention of the heads here adds to the residual stream."""
        return self._attention.forward(rms_norm(x_TH, self._input_norm, self._eps), plan)

    @quiet
    def queries(self, x_TH: Floats, plan: StepPlan) -> Floats:
        """Of the heads here; the new tokens' KV goes into its blocks."""
        return self._attention.queries(rms_norm(x_TH, self._input_norm, self._eps), plan)

    @quiet
    def over_slice(self, q_TND: Floats, plan: StepPlan) -> Part:
        """What queries of any heads that look at the same keys find over those that are here."""
        return self._attention.over_slice(q_TND, plan)

    @quiet
    def share(self, mixed_TND: Floats) -> NDArray[Any]:
        """What attention of the heads here adds, of what was found for them."""
        return self._attention.share(mixed_TND)

    def network(self, x_TH: Floats) -> tuple[Floats, MoeInput | None]:
        """What follows when attention has been added."""
        added_TH, moe = self.beside(x_TH)
        return x_TH if added_TH is None else x_TH + added_TH, moe

    @quiet
    def beside(self, x_TH: Floats) -> tuple[Floats | None, MoeInput | None]:
        """The same, and what is added here apart."""
        return self._network.forward(rms_norm(x_TH, self._post_norm, self._eps))


@quiet
def merge(x_TH: Floats, sums_TH: NDArray[Any]) -> Floats:
    """Residual plus what was summed up: one rounding, from float64."""
    merged: Floats = (x_TH + sums_TH).astype(np.float32)
    return merged


def make_cache(config: ModelConfig, num_blocks: int, block_size: int) -> PagedCache:
    """Memory for so many KV blocks of all layers."""
    if config.mla is not None:
        return mla.make_cache(config, config.mla, num_blocks, block_size)
    return gqa.make_cache(config, num_blocks, block_size)


def make_rope(config: ModelConfig, positions: int) -> Rope:
    width = config.head_dim if config.mla is None else config.mla.rope_dim
    return Rope(config, width, positions)


def _attention(
    config: ModelConfig, layer: int, read: Read, cache: PagedCache, rope: Rope
) -> Attention:
    if config.mla is not None:
        return mla.MlaAttention(config, config.mla, layer, read, cache, rope)
    return gqa.GqaAttention(config, layer, read, cache, rope)
