"""A chip's part of a digest model: attention over its own keys and, where they are elsewhere, over
what others found; then a network, or the gate. The formulas are in docs/digests.md.

Letters: T tokens of the step, U units of KV, R rows wanted.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.model_config import ModelConfig
from configs.parts import Part as Held
from configs.precision import Precision
from workers.model.base import MoeInput, StepLayout
from workers.model.digest.cache import DigestCache
from workers.model.digest.gate import Gate
from workers.model.digest.logits import logits_of, most_likely
from workers.model.digest.mixing import Digests, Weights, What, mixed
from workers.model.digest.plan import StepPlan, plan_next, plan_step
from workers.model.digest.routing import Routing
from workers.model.digest.shape import kv_units, name_of, units_of
from workers.model.digest.sight import attended
from workers.model.digest.states import Decay, evolved
from workers.model.no_memory import no_memory
from workers.model.parts.partial import Part, PartOf
from workers.model.parts.positions import Indices
from workers.model.parts.sized_chip import SizedChip
from workers.model.plans import Plans
from workers.model.program import Enter
from workers.model.work import WorkModel


class DigestChip(SizedChip):
    """LaunchModel without weights. Hidden states are [T] uint64 arrays.

    span         tokens of one digest, as the blocks of all chips have them in common; left out, as
                 blocks of this size do
    cache        where its keys lie; one of its own where left out

    Raises ValueError where this machine has not the memory for so many digests.
    """

    def __init__(
        self,
        config: ModelConfig,
        num_blocks: int,
        block_size: int,
        precision: Precision,
        work: WorkModel,
        routing: Routing,
        part: Held | None = None,
        span: int | None = None,
        cache: DigestCache | None = None,
    ) -> None:
        super().__init__(config, num_blocks, block_size, precision, work, part)
        part, units = self.part, units_of(config, self.part)
        try:
            sizes = num_blocks, self._slice.tokens, part.num_layers, len(units), span
            self.cache = self._cache = cache or DigestCache(*sizes)
        except MemoryError:
            carried = num_blocks * block_size * part.num_layers * len(units) * 8
            raise no_memory(num_blocks, carried) from None
        weights = Weights.of(name_of(config, kv_units(config)))
        self._embedding, self._head = weights.one(What.EMBEDDING, 0), weights.one(What.HEAD, 0)
        self._layers = [_Layer(config, weights, layer, part) for layer in part.layers]
        found = (config.window_of(layer) for layer in part.layers)
        self._windows = tuple(dict.fromkeys(found))
        self._gate = Gate(weights, config.num_layers, config.top_k, routing)
        self._plans: Plans[StepPlan] = Plans(self._new_plan)

    def _new_plan(self, layout: StepLayout) -> StepPlan:
        sizes, has_states = (self._cache, self.block_size, self._windows), self._whole.has_states
        return plan_step(layout, *sizes, has_states=has_states)

    def embed(self, token_ids_T: NDArray[np.int64]) -> Digests:
        """[T]. Raises ValueError on ids outside the vocabulary."""
        self._check_ids(token_ids_T)
        return mixed(token_ids_T.astype(np.uint64) + self._embedding)

    def attend(self, layer: int, x: Digests, layout: StepLayout) -> tuple[Digests, MoeInput | None]:
        return self.attend_planned(layer, x, self.plan(layout))

    def plan(self, layout: StepLayout) -> StepPlan:
        """What is written and seen of a step, the same in all layers."""
        return self._plans.of(layout)

    def plan_next(self, spans: Indices, begins_T: Indices, positions_T: Indices) -> StepPlan:
        """The same of one more token of each of some sequences, of a model that keeps no states;
        see `plan.plan_next`.
        """
        return plan_next(self._cache, spans, begins_T, positions_T, self._windows)

    def attend_planned(
        self, layer: int, x: Digests, plan: StepPlan
    ) -> tuple[Digests, MoeInput | None]:
        """The same where it is known already what is written and seen."""
        queries_TU = self._written(layer, x, plan)
        return self._after(layer, x, self._found(layer, queries_TU, plan), plan)

    def _written(self, layer: int, x: Digests, plan: StepPlan) -> Digests:
        """Queries [T, U]; the new tokens' keys, or states, go into their blocks."""
        of, number = self._layer(layer), layer - self.part.first_layer
        placed_T = (x + plan.steps_T)[:, None]
        kept_TU = mixed(placed_T + of.keys_U)
        if of.decay is not None:
            assert plan.runs is not None, "a model that keeps states has them planned"
            kept_TU = evolved(self._cache, number, plan.runs, of.decay, kept_TU)
        self._cache.write(number, plan.spans_T, plan.slots_T, kept_TU)
        queries_TU: Digests = placed_T + of.queries_U
        return queries_TU

    def _found(self, layer: int, queries_TU: Digests, plan: StepPlan) -> Digests:
        """Over the keys that are here, or in the state."""
        if self._layer(layer).decay is not None:
            number = layer - self.part.first_layer
            return mixed(self._cache.read(number, plan.spans_T, plan.slots_T) + queries_TU)
        sight = plan.sights[self._whole.window_of(layer)]
        return attended(self._cache, layer - self.part.first_layer, sight, queries_TU)

    def _layer(self, layer: int) -> "_Layer":
        return self._layers[layer - self.part.first_layer]

    def _queries(self, layer: int, enter: Enter, layout: StepLayout) -> tuple[Digests, Digests]:
        x = enter()
        return x, self._written(layer, x, self._plans.of(layout))[:, :, None]

    def _over_own(self, layer: int, q_TND: Digests, layout: StepLayout) -> Part:
        found_TU = self._found(layer, q_TND[:, :, 0], self._plans.of(layout))
        return Part(found_TU[:, :, None], np.zeros(found_TU.shape, dtype=np.float32))

    def _values(
        self, layer: int, x: Digests, own: Part, others: Sequence[PartOf], layout: StepLayout
    ) -> tuple[Digests, MoeInput | None]:
        found_TU: Digests = own.out_TND[:, :, 0].copy()
        for rows, part in others:
            found_TU[rows] += part.out_TND[:, :, 0]
        return self._after(layer, x, found_TU, self._plans.of(layout))

    def found_share(self, layer: int, found: Sequence[Digests]) -> Digests:
        """Terms over all slices, modulo 2^64."""
        return self._share(layer, np.sum(found, axis=0)[:, :, 0])

    def attention_share(
        self, layer: int, enter: Enter, layout: StepLayout
    ) -> tuple[Digests, Digests]:
        x, plan = enter(), self._plans.of(layout)
        return x, self._share(layer, self._found(layer, self._written(layer, x, plan), plan))

    def behind(
        self, layer: int, x: Digests, sums_T: Digests, layout: StepLayout
    ) -> tuple[Digests, Digests | None, MoeInput | None]:
        y = mixed(x + sums_T)
        return y, self._beside(layer, y), self._chosen(layer, y, self._plans.of(layout))

    def _after(
        self, layer: int, x: Digests, found_TU: Digests, plan: StepPlan
    ) -> tuple[Digests, MoeInput | None]:
        """What follows when a token's spans are summed up."""
        return self._network(layer, x, self._share(layer, found_TU), plan)

    def _share(self, layer: int, found_TU: Digests) -> Digests:
        """What the units here add to the residual, [T]."""
        share_T: Digests = (found_TU * self._layer(layer).out_U).sum(axis=1)
        return share_T

    def _network(
        self, layer: int, x: Digests, sums_T: Digests, plan: StepPlan
    ) -> tuple[Digests, MoeInput | None]:
        """What follows when all units are summed up."""
        y = mixed(x + sums_T)
        beside, moe = self._beside(layer, y), self._chosen(layer, y, plan)
        added = y if beside is None else y + beside
        return (mixed(added), None) if moe is None else (added, moe)

    def _beside(self, layer: int, y: Digests) -> Digests | None:
        """What the slices here of a dense network, or of shared experts, add, [T]."""
        of = self._layer(layer)
        return None if of.network is None else mixed(y + of.network) * of.network_slices

    def _chosen(self, layer: int, y: Digests, plan: StepPlan) -> MoeInput | None:
        if self._whole.is_dense(layer):
            return None
        return self._gate.choose(layer, y, plan.positions_T)

    def merge(self, x: Digests, sums_TH: NDArray[Any]) -> Digests:
        """The sums of all experts join, modulo 2^64."""
        return mixed(x + sums_TH)

    def most_likely(self, x: Digests) -> NDArray[np.int64]:
        """After each row the token of the largest logit, [T]: as `logits` has it."""
        return most_likely(mixed(x + self._head), self.config.vocab)

    def logits(self, x: Digests, rows_R: NDArray[np.int64]) -> NDArray[np.float32]:
        """[R, V] float32."""
        return logits_of(mixed(x[rows_R] + self._head), self.config.vocab)

    def read_blocks(self, block_ids: tuple[int, ...]) -> NDArray[Any]:
        """Copies: [block, 8 bytes a digest] uint8."""
        return self._cache.read_blocks(block_ids)

    def write_blocks(self, block_ids: tuple[int, ...], blocks: NDArray[Any]) -> None:
        """The reverse of `read_blocks`. Raises ValueError where the shape does not fit."""
        self._cache.write_blocks(block_ids, blocks)


class _Layer:
    """Digests of one layer's weights, of some units and query heads.

    out_U       of the output projection: those of a unit's heads, summed up
    decay       of a layer that keeps states
    network, network_slices   of a dense network, or of shared experts: of what enters, and of its
                slices, one a head, summed up; None where there is neither
    """

    def __init__(self, config: ModelConfig, weights: Weights, layer: int, part: Held) -> None:
        units = units_of(config, part)
        heads = range(config.num_heads) if part.heads is None else part.heads.queries(config)
        self.keys_U = weights.slices(What.KEY, layer, units)
        self.queries_U = weights.slices(What.QUERY, layer, units)
        out = weights.slices(What.OUT, layer, heads)
        self.out_U = out.reshape(len(units), -1).sum(axis=1)
        self.decay: Decay | None = None
        if config.is_state(layer):
            self.decay = Decay(weights.slices(What.DECAY, layer, units))
        self.network: Digests | None = None
        self.network_slices = np.zeros(1, dtype=np.uint64)
        is_dense = config.is_dense(layer)
        if is_dense or config.shared_intermediate:
            what = What.DENSE if is_dense else What.SHARED
            self.network = weights.one(what, layer)
            slices = weights.slices(what, layer, range(heads.start + 1, heads.stop + 1))
            self.network_slices = slices.sum(keepdims=True)
