"""What a step of the model asks of a machine, counted from its sizes: no constant is fitted.

Weights are read once a step, however many tokens share them; KV is read once for every sequence.
`precision` gives the bytes of stored numbers and names the arithmetic for the chip's flops table.
"""

from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.model_config import ModelConfig
from configs.precision import EXACT, Precision
from configs.schema.device import MAIN_ENGINE
from workers.hardware.work import Demand, Work
from workers.model.apart import Apart
from workers.model.base import StepLayout

# So few ids are counted faster in a list than by numpy's calls.
COUNTED_ONE_BY_ONE_MAX = 64
# And so few experts are each compared with all ids before numpy has sorted out which ids are valid.
HELD_ONE_BY_ONE_MAX = 4


@dataclass(frozen=True, slots=True)
class WorkModel:
    """Counts for one model, and what lies where.

    tier       memory tier of the weights: a chip's layers, a shard's experts
    kv_tier, head_tier   of the KV cache; of embedding and vocabulary projection (None: with the
               weights)
    hot_tier   of the experts `hot`
    engine, hot_engine   that compute experts, and the hot ones
    streams    `tier` has a buffer: a chip's layers, and the projection where it lies there as well,
               are read before they are asked for. Experts are not: which, the gate says
    expert_reads, hot_reads    separate reads of one expert's weights as they lie in `tier`, and in
               `hot_tier`; 0: they are one piece
    """

    config: ModelConfig
    precision: Precision = EXACT
    tier: str = "hbm"
    kv_tier: str = "hbm"
    head_tier: str | None = None
    hot_tier: str = "hbm"
    hot: frozenset[int] = frozenset()
    engine: str = MAIN_ENGINE
    hot_engine: str = MAIN_ENGINE
    expert_reads: int = 0
    hot_reads: int = 0
    streams: bool = False
    # Not `init`: a copy with other values has counted nothing yet.
    _last: dict[str, Any] = field(default_factory=dict, init=False, compare=False, repr=False)
    _made: dict[tuple[int, int, int, int], Work] = field(
        default_factory=dict, init=False, compare=False, repr=False
    )

    def attend(self, layer: int, layout: StepLayout) -> Work:
        """All that a chip does in one layer for a step's tokens: projections, attention, and the
        gate with the shared experts or a dense network. The first begins with the embedding.
        """
        # Layers of one kind ask for the same, and a step goes through all of them.
        if self._last.get("layout") != layout:
            self._last["layout"], self._last["works"] = layout, {}
        works: dict[int, Work] = self._last["works"]
        kind = self.config.kind_of(layer)
        if kind not in works:
            works[kind] = self._attend(layer, layout)
        work = works[kind]
        return work if layer else self._entered(work, layout.num_tokens)

    def _entered(self, work: Work, num_tokens: int) -> Work:
        """The same, and each token's row of the embedding, an access that nothing reads ahead."""
        if not num_tokens:
            return work
        num_bytes = num_tokens * self.precision.embedding_row_bytes(self.config)
        rows = Demand(f"{self.head_tier or self.tier}.read", num_bytes, num_tokens)
        return work._replace(demands=(rows, *work.demands))

    def _attend(self, layer: int, layout: StepLayout) -> Work:
        config, tokens = self.config, layout.num_tokens
        states = len(layout.sequences) * self.precision.state_layer_bytes(config, layer)
        kept = 0 if config.is_state(layer) else tokens * self.precision.kv_layer_bytes(config)
        pairs = sum(config.pairs(layer, s.start, s.count) for s in layout.sequences)
        scored = sum(config.index_macs(layer, s.start, s.count) for s in layout.sequences)
        gate = 0 if config.is_dense(layer) else config.num_experts * config.hidden
        flops: dict[str, int] = {}
        products = tokens * (config.layer_weights(layer) - gate) + scored
        _add(flops, self.precision.arithmetic, 2 * products)
        _add(flops, "fp32", tokens * (2 * gate + config.state_flops(layer)))  # states are fp32
        pair_flops = 2 * pairs * config.attention.pair_products
        _add(flops, self.precision.pair_arithmetic(config), pair_flops)
        weights = self.precision.layer_bytes(config, layer)
        reads: dict[str, int] = {}
        if not self.streams:
            _add(reads, self.tier, weights)
        _add(reads, self.kv_tier, self._kv_read(layer, layout) + states)
        work = Work.of(
            "attention",
            flops={dtype: count for dtype, count in flops.items() if count},
            reads=reads,
            writes={self.kv_tier: kept + states},
        )
        return work._replace(demands=(*work.demands, *self._ahead(self.tier, weights)))

    def _kv_read(self, layer: int, layout: StepLayout) -> int:
        """Bytes of the keys and values that are met, and of all keys of an index."""
        config, entry = self.config, self.precision.kv_entry_bytes(self.config)
        index = self.precision.kv_layer_bytes(config) - entry
        return sum(
            config.met(layer, s.start, s.count) * entry + (s.start + s.count) * index
            for s in layout.sequences
        )

    def attend_apart(self, layer: int, layout: StepLayout, block_size: int) -> Apart:
        """What `attend` asks for, of the keys that are here, in three launches: projections up to
        the queries; those meet the keys; output projection and network. Weights are split as their
        matrices are.
        """
        config, tokens, arithmetic = self.config, layout.num_tokens, self.precision.arithmetic
        whole = self.config.layer_weights(layer)
        before = sum(prod(shape) for name, shape in config.attention.matrices if name != "o_proj")
        gate = 0 if config.is_dense(layer) else config.num_experts * config.hidden
        num_bytes = self.precision.layer_bytes(config, layer)
        first_bytes = num_bytes * before // whole
        kv_token_bytes = self.precision.kv_layer_bytes(config)
        here = [(s.count, s.start - s.num_far * block_size) for s in layout.sequences]
        pairs = sum(count * start + count * (count + 1) // 2 for count, start in here)
        last: dict[str, int] = {}
        _add(last, arithmetic, 2 * tokens * (whole - gate - before))
        _add(last, "fp32", 2 * tokens * gate)
        queries = self._with_weights(
            Work.of(
                "queries",
                flops={arithmetic: 2 * tokens * before},
                writes={self.kv_tier: tokens * kv_token_bytes},
            ),
            first_bytes,
        )
        return Apart(
            queries if layer else self._entered(queries, tokens),
            Work.of(
                "attention",
                flops={
                    self.precision.pair_arithmetic(config): 2
                    * pairs
                    * config.attention.pair_products
                },
                reads={self.kv_tier: sum(map(sum, here)) * kv_token_bytes},
            ),
            self._with_weights(
                Work.of("values", flops={dtype: n for dtype, n in last.items() if n}),
                num_bytes - first_bytes,
            ),
        )

    def _with_weights(self, work: Work, num_bytes: int) -> Work:
        """The same, and so many bytes of weights."""
        ahead = self._ahead(self.tier, num_bytes)
        read = ahead or (Demand(f"{self.tier}.read", num_bytes),)
        return work._replace(demands=(*work.demands, *read))

    def _ahead(self, tier: str, num_bytes: int) -> tuple[Demand, ...]:
        """Weights that a tier with a buffer has begun to read before they are asked for."""
        return (Demand(f"{tier}.read", num_bytes, ahead=True),) if self.streams else ()

    def logits(self, num_rows: int) -> Work:
        """Final norm and vocabulary projection of some rows; nothing for none."""
        if num_rows == 0:
            return Work("logits")
        config, head_bytes = self.config, self.precision.head_bytes(self.config)
        arithmetic: str = self.precision.arithmetic
        flops = {arithmetic: 2 * num_rows * config.hidden * config.vocab}
        tier = self.head_tier or self.tier
        if not self.streams or tier != self.tier:
            return Work.of("logits", flops=flops, reads={tier: head_bytes})
        work = Work.of("logits", flops=flops)
        return work._replace(demands=(*work.demands, *self._ahead(tier, head_bytes)))

    def experts(
        self,
        experts_TK: NDArray[np.int32],
        held: tuple[int, ...],
        there: frozenset[int] = frozenset(),
    ) -> Work:
        """One layer's share of a shard that holds the experts `held`; other ids ask for nothing.
        Weights of `there` were read ahead.
        """
        counts = dict(zip(held, self.expert_tokens(experts_TK, held), strict=True))
        hot = [counts[expert] for expert in held if expert in self.hot] if self.hot else []
        if there:
            read = [e for e, count in counts.items() if count and e not in there]
            num_hot = sum(expert in self.hot for expert in read)
            work = self._experts(sum(counts.values()), sum(hot), len(read) - num_hot, num_hot)
            return work._replace(demands=tuple(d for d in work.demands if d.amount))
        num_hot = len(hot) - hot.count(0)
        num_active = len(counts) - list(counts.values()).count(0)
        return self._experts(sum(counts.values()), sum(hot), num_active - num_hot, num_hot)

    def expert_read(self, expert: int) -> Work:
        """One expert's weights of one layer, before they are asked for."""
        tier, reads = self.tier, self.expert_reads
        if expert in self.hot:
            tier, reads = self.hot_tier, self.hot_reads
        return Work("prefetch", (self._expert_read(tier, 1, reads),))

    def _experts(self, num_tokens: int, hot_tokens: int, num_cold: int, num_hot: int) -> Work:
        """Few of these differ: most often a token or two meet an expert or two."""
        key = num_tokens, hot_tokens, num_cold, num_hot
        work: Work | None = self._made.get(key)
        if work is None:
            config = self.config
            flops = 6 * config.hidden * config.moe_intermediate  # three projections of one token
            tokens = {self.engine: num_tokens - hot_tokens}
            if hot_tokens:
                _add(tokens, self.hot_engine, hot_tokens)
                tokens = {engine: count for engine, count in tokens.items() if count}
            dtype = self.precision.arithmetic
            demands = [Demand(f"{name}.{dtype}", n * flops) for name, n in tokens.items()]
            demands.append(self._expert_read(self.tier, num_cold, self.expert_reads))
            if num_hot:
                demands.append(self._expert_read(self.hot_tier, num_hot, self.hot_reads))
            work = Work("experts", tuple(demands))
            if num_tokens <= COUNTED_ONE_BY_ONE_MAX:
                self._made[key] = work
        return work

    def _expert_read(self, tier: str, num_experts: int, reads: int) -> Demand:
        num_bytes = num_experts * self.precision.expert_bytes(self.config)
        return Demand(f"{tier}.read", num_bytes, max(1, num_experts * reads))

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
