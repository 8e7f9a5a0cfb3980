"""What a step of the model asks of a machine, counted from its sizes: no constant is fitted.

Weights are read once a step, however many tokens share them; KV is read once for every sequence.
`precision` gives the bytes of stored numbers and names the arithmetic for the chip's flops table.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.model_config import ModelConfig
from configs.precision import EXACT, Precision
from workers.hardware.work import Demand, Work
from workers.model.base import StepLayout

# So few ids are counted faster in a list than by numpy's calls.
COUNTED_ONE_BY_ONE_MAX = 64
# And so few experts are each compared with all ids before numpy has sorted out which ids are valid.
HELD_ONE_BY_ONE_MAX = 4


@dataclass(frozen=True, slots=True)
class WorkModel:
    """Counts for one model held in one memory tier.

    tier, kv_tier   memory tier of the weights and of the KV cache
    expert_reads    separate reads of one expert's weights as they lie there; 0: they are one piece
    """

    config: ModelConfig
    precision: Precision = EXACT
    tier: str = "hbm"
    kv_tier: str = "hbm"
    expert_reads: int = 0
    _last: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)
    _made: dict[tuple[int, int], Work] = field(default_factory=dict, compare=False, repr=False)

    def attend(self, layer: int, layout: StepLayout) -> Work:
        """All that a chip does in one layer for a step's tokens: projections, attention, and the
        gate with the shared experts or a dense network.
        """
        # Layers of one kind ask for the same, and a step goes through all of them.
        key = (layout, self.config.is_dense(layer))
        if self._last.get("key") != key:
            self._last["key"], self._last["work"] = key, self._attend(layer, layout)
        work: Work = self._last["work"]
        return work

    def _attend(self, layer: int, layout: StepLayout) -> Work:
        config, tokens = self.config, layout.num_tokens
        kv_token_bytes = self.precision.kv_layer_bytes(config)
        # Causal: the i-th new token of a sequence meets start + i + 1 keys (i from 0).
        pairs = sum(s.count * s.start + s.count * (s.count + 1) // 2 for s in layout.sequences)
        context = sum(s.start + s.count for s in layout.sequences)
        gate = 0 if config.is_dense(layer) else config.num_experts * config.hidden
        flops: dict[str, int] = {}
        _add(flops, self.precision.arithmetic, 2 * tokens * (config.layer_weights(layer) - gate))
        _add(flops, "fp32", 2 * tokens * gate)
        pair_flops = 2 * pairs * config.attention.pair_products
        _add(flops, self.precision.pair_arithmetic(config), pair_flops)
        reads: dict[str, int] = {}
        _add(reads, self.tier, self.precision.layer_bytes(config, layer))
        _add(reads, self.kv_tier, context * kv_token_bytes)
        return Work.of(
            "attention",
            flops={dtype: count for dtype, count in flops.items() if count},
            reads=reads,
            writes={self.kv_tier: tokens * kv_token_bytes},
        )

    def logits(self, num_rows: int) -> Work:
        """Final norm and vocabulary projection of some rows; nothing for none."""
        if num_rows == 0:
            return Work("logits")
        config = self.config
        return Work.of(
            "logits",
            flops={self.precision.arithmetic: 2 * num_rows * config.hidden * config.vocab},
            reads={self.tier: self.precision.head_bytes(config)},
        )

    def experts(self, experts_TK: NDArray[np.int32], held: tuple[int, ...]) -> Work:
        """One layer's share of a shard that holds the experts `held`; other ids ask for nothing."""
        counts = self.expert_tokens(experts_TK, held)
        return self._experts(sum(counts), len(counts) - counts.count(0))

    def _experts(self, num_tokens: int, num_active: int) -> Work:
        """Few of these differ: most often a token or two meet an expert or two."""
        work: Work | None = self._made.get((num_tokens, num_active))
        if work is None:
            config = self.config
            flops = 6 * config.hidden * config.moe_intermediate  # three projections of one token
            read_bytes = num_active * self.precision.expert_bytes(config)
            work = Work.of(
                "experts",
                flops={self.precision.arithmetic: num_tokens * flops},
                reads={self.tier: read_bytes},
            )
            if self.expert_reads and num_active:
                apart = Demand(f"{self.tier}.read", read_bytes, num_active * self.expert_reads)
                work = work._replace(demands=(*work.demands[:-1], apart))
            if num_tokens <= COUNTED_ONE_BY_ONE_MAX:
                self._made[num_tokens, num_active] = work
        return work

    def expert_tokens(
        self, experts_TK: NDArray[np.int32], held: tuple[int, ...]
    ) -> tuple[int, ...]:
        """Tokens routed to each held expert, in the order of `held`."""
        if experts_TK.size <= COUNTED_ONE_BY_ONE_MAX:
            asked = experts_TK.ravel().tolist()
            return tuple([asked.count(expert) for expert in held])
        if len(held) <= HELD_ONE_BY_ONE_MAX:
            return tuple([int(np.count_nonzero(experts_TK == expert)) for expert in held])
        valid = experts_TK[(experts_TK >= 0) & (experts_TK < self.config.num_experts)]
        counts = np.bincount(valid, minlength=self.config.num_experts).tolist()
        return tuple([counts[expert] for expert in held])


def _add(amounts: dict[str, int], what: str, amount: int) -> None:
    amounts[what] = amounts.get(what, 0) + amount
