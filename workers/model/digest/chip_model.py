"""A chip's part of a digest model: attention over its own keys and, where they are elsewhere, over
what others found; then a network, or the gate. The formulas are in docs/digests.md.

Letters: T tokens of the step, U units of KV, R rows wanted.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.model_config import ModelConfig
from configs.parts import Part as Held
from configs.precision import Precision
from workers.hardware.work import Work
from workers.model.base import MoeInput, StepLayout
from workers.model.digest.cache import DigestCache
from workers.model.digest.gate import Gate
from workers.model.digest.logits import logits_of, most_likely
from workers.model.digest.mixing import Digests, Weights, What, mixed
from workers.model.digest.plan import StepPlan, attended, plan_step
from workers.model.digest.routing import Routing
from workers.model.digest.shape import kv_units, name_of, units_of
from workers.model.forward import after_gate, one_launch
from workers.model.no_memory import no_memory
from workers.model.parts.partial import Part, PartOf
from workers.model.plans import Plans
from workers.model.program import Attend, Compute, Enter, Program
from workers.model.work import WorkModel


class DigestChip:
    """LaunchModel without weights. Hidden states are [T] uint64 arrays.

    num_blocks   KV blocks of this chip        block_size   tokens in a block
    work         how work is counted: as of the real model
    part         layers and units that are held here; all where left out
    cache        where its keys lie; one of its own where left out
    config       sizes of what is held here

    Layers have the numbers of the whole model, wherever they are named.

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
        cache: DigestCache | None = None,
    ) -> None:
        self.part = part = part or Held(0, config.num_layers)
        self._whole, self.config = config, part.of(config)
        self.num_blocks, self.block_size = num_blocks, block_size
        # Work is counted by the layers' numbers in the whole model: the first one embeds.
        held = replace(part, first_layer=0, num_layers=config.num_layers).of(config)
        self._work, units = replace(work, config=held), units_of(config, part)
        self.block_bytes = block_size * precision.kv_bytes_per_token(self.config)
        try:
            sizes = num_blocks, block_size, part.num_layers, len(units)
            self.cache = self._cache = cache or DigestCache(*sizes)
        except MemoryError:
            carried = num_blocks * block_size * part.num_layers * len(units) * 8
            raise no_memory(num_blocks, carried) from None
        weights = Weights.of(name_of(config, kv_units(config)))
        self._embedding, self._head = weights.one(What.EMBEDDING, 0), weights.one(What.HEAD, 0)
        self._layers = [_Layer(config, weights, layer, units) for layer in part.layers]
        self._gate = Gate(weights, config.num_layers, config.top_k, routing)
        self._plans: Plans[StepPlan] = Plans(self._new_plan)

    def _new_plan(self, layout: StepLayout) -> StepPlan:
        return plan_step(layout, self._cache, self.block_size)

    @property
    def kv_tier(self) -> str:
        return self._work.kv_tier

    def embed(self, token_ids_T: NDArray[np.int64]) -> Digests:
        """[T]. Raises ValueError on ids outside the vocabulary."""
        if token_ids_T.size and not 0 <= token_ids_T.min() <= token_ids_T.max() < self.config.vocab:
            raise ValueError(
                f"token ids span {token_ids_T.min()} .. {token_ids_T.max()}; they must be from 0 "
                f"to {self.config.vocab - 1}"
            )
        return mixed(token_ids_T.astype(np.uint64) + self._embedding)

    def layer(self, layer: int, enter: Enter, layout: StepLayout) -> Program[Enter]:
        """One launch, or three; then the experts."""
        if not layout.has_far:
            return (yield from one_launch(self, layer, enter, layout))
        plan, works = (
            self._plans.of(layout),
            self._work.attend_apart(layer, layout, self.block_size),
        )
        x, q_TND = yield Compute(works.queries, self._queries, (layer, enter, plan))
        own_work = Compute(works.own, self._over_own, (layer, q_TND, plan))
        own, others = yield Attend(layer, q_TND, own_work)
        x, moe = yield Compute(works.values, self._values, (layer, x, own, others, plan))
        return (yield from after_gate(self, layer, x, moe))

    def attend(self, layer: int, x: Digests, layout: StepLayout) -> tuple[Digests, MoeInput | None]:
        return self.attend_planned(layer, x, self.plan(layout))

    def plan(self, layout: StepLayout) -> StepPlan:
        """What is written and seen of a step, the same in all layers."""
        return self._plans.of(layout)

    def attend_planned(
        self, layer: int, x: Digests, plan: StepPlan
    ) -> tuple[Digests, MoeInput | None]:
        """The same where it is known already what is written and seen."""
        queries_TU = self._written(layer, x, plan)
        return self._after(layer, x, self._found(layer, queries_TU, plan), plan)

    def _written(self, layer: int, x: Digests, plan: StepPlan) -> Digests:
        """Queries [T, U]; the new tokens' keys go into their blocks."""
        of, number = self._layer(layer), layer - self.part.first_layer
        placed_T = (x + plan.steps_T)[:, None]
        self._cache.write(number, plan.spans_T, plan.slots_T, mixed(placed_T + of.keys_U))
        queries_TU: Digests = placed_T + of.queries_U
        return queries_TU

    def _found(self, layer: int, queries_TU: Digests, plan: StepPlan) -> Digests:
        """Over the keys that are here."""
        return attended(self._cache, layer - self.part.first_layer, plan, queries_TU)

    def _layer(self, layer: int) -> "_Layer":
        return self._layers[layer - self.part.first_layer]

    def _queries(self, layer: int, enter: Enter, plan: StepPlan) -> tuple[Digests, Digests]:
        x = enter()
        return x, self._written(layer, x, plan)[:, :, None]

    def _over_own(self, layer: int, q_TND: Digests, plan: StepPlan) -> Part:
        found_TU = self._found(layer, q_TND[:, :, 0], plan)
        return Part(found_TU[:, :, None], np.zeros(found_TU.shape, dtype=np.float32))

    def _values(
        self, layer: int, x: Digests, own: Part, others: Sequence[PartOf], plan: StepPlan
    ) -> tuple[Digests, MoeInput | None]:
        found_TU: Digests = own.out_TND[:, :, 0].copy()
        for rows, part in others:
            found_TU[rows] += part.out_TND[:, :, 0]
        return self._after(layer, x, found_TU, plan)

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
        of, y = self._layer(layer), mixed(x + sums_T)
        beside = y if of.network is None else y + mixed(y + of.network) * of.network_slices
        if self._whole.is_dense(layer):
            return mixed(beside), None
        return beside, self._gate.choose(layer, y, plan.positions_T)

    def attend_work(self, layer: int, layout: StepLayout) -> Work:
        return self._work.attend(layer, layout)

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

    def logits_work(self, num_rows: int) -> Work:
        return self._work.logits(num_rows)


class _Layer:
    """Digests of one layer's weights, of some units.

    out_U       of the output projection: those of a unit's heads, summed up
    network, network_slices   of a dense network, or of shared experts: of what enters, and of its
                slices, one a head, summed up; None where there is neither
    """

    def __init__(self, config: ModelConfig, weights: Weights, layer: int, units: range) -> None:
        heads = config.num_heads
        self.keys_U = weights.slices(What.KEY, layer, units)
        self.queries_U = weights.slices(What.QUERY, layer, units)
        out = weights.slices(What.OUT, layer, range(heads))
        of_units = out.reshape(kv_units(config), -1).sum(axis=1)
        self.out_U = of_units[units.start : units.stop]
        self.network: Digests | None = None
        self.network_slices = np.zeros(1, dtype=np.uint64)
        is_dense = config.is_dense(layer)
        if is_dense or config.shared_intermediate:
            what = What.DENSE if is_dense else What.SHARED
            self.network = weights.one(what, layer)
            slices = weights.slices(what, layer, range(1, heads + 1))
            self.network_slices = slices.sum(keepdims=True)
