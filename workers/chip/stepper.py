"""One step of a chip through all layers: attention here, experts wherever they live, then the
sampled tokens.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workers.chip.scheduler import Item, Step
from workers.errors import PerfuseError
from workers.experts.exchange import DispatchSide, Tokens, request_number
from workers.model.base import (
    ChipModel,
    Hidden,
    MoeInput,
    StepLayout,
    StepSequence,
    WholeModel,
)
from workers.model.sampling import Choice, choose_all
from workers.model.sampling_params import SamplingParams
from workers.node import Node


@dataclass(frozen=True, slots=True)
class StepResult:
    """What came of a step.

    choices         seq_id -> the sampled token with its log-probabilities
    logits          seq_id -> its row of logits, where it asked for them
    attention_ns    emulated time in attention over all layers; with the experts where the step
                    is one call
    expert_wait_ns  from dispatch to combine
    sampling_ns     vocabulary projection and choice
    """

    choices: Mapping[str, Choice]
    logits: Mapping[str, NDArray[np.float32]]
    attention_ns: int
    expert_wait_ns: int
    sampling_ns: int


class Stepper:
    """Runs steps. Holds no state between them but the KV cache inside the model."""

    def __init__(
        self, node: Node, model: ChipModel, exchange: DispatchSide, exchange_timeout_ns: int
    ) -> None:
        self._node, self._model, self._exchange = node, model, exchange
        self._timeout_ns = exchange_timeout_ns
        # Emulated work is declared before it runs, and which experts a layer asks for shows only
        # there: so a whole step is for clocks without emulation.
        self._whole = (
            model
            if isinstance(model, WholeModel) and model.steps_whole and not node.clock.emulated
            else None
        )

    async def run(self, step: Step, sampling: Mapping[str, SamplingParams]) -> StepResult:
        """Raises PeerDead or DeadlineExceeded if experts do not answer; then nothing of the step
        counts.
        """
        clock, run, model = self._node.clock, self._node.hardware.run, self._model
        batch = _Batch(step.items)
        if self._whole is not None:
            return await self._node.hardware.compute(self._step, self._whole, batch, sampling)
        x: Hidden = None
        sums_TH: NDArray[np.float64] | None = None
        attention_ns = expert_wait_ns = 0
        for layer in range(model.config.num_layers):
            begun_ns = clock.now()
            work = model.attend_work(layer, batch.layout)
            x, moe = await run(work, self._attend, layer, x, sums_TH, batch)
            attended_ns = clock.now()
            attention_ns += attended_ns - begun_ns
            sums_TH = None
            if moe is None:  # a dense layer: nobody else has a share
                continue
            handle = await self._exchange.dispatch_send(batch.tokens(layer, moe), self._timeout_ns)
            sums_TH = await self._exchange.combine_receive(handle)
            expert_wait_ns += clock.now() - attended_ns
        begun_ns = clock.now()
        choices, logits = await run(
            model.logits_work(len(batch.sampled)), self._sample, x, sums_TH, batch, sampling
        )
        return StepResult(choices, logits, attention_ns, expert_wait_ns, clock.now() - begun_ns)

    def _attend(
        self, layer: int, x: Hidden, sums_TH: NDArray[np.float64] | None, batch: "_Batch"
    ) -> tuple[Hidden, MoeInput | None]:
        x = self._model.embed(batch.token_ids_T) if layer == 0 else self._merge(x, sums_TH)
        return self._model.attend(layer, x, batch.layout)

    def _merge(self, x: Hidden, sums_TH: NDArray[np.float64] | None) -> Hidden:
        """What a layer left: with the experts' share, if they had one."""
        return x if sums_TH is None else self._model.merge(x, sums_TH)

    def _sample(
        self,
        x: Hidden,
        sums_TH: NDArray[np.float64] | None,
        batch: "_Batch",
        sampling: Mapping[str, SamplingParams],
    ) -> tuple[dict[str, Choice], dict[str, NDArray[np.float32]]]:
        if not batch.sampled:
            return {}, {}
        return self._choose(self._merge(x, sums_TH), batch, sampling)

    def _step(
        self, model: WholeModel, batch: "_Batch", sampling: Mapping[str, SamplingParams]
    ) -> StepResult:
        begun_ns = self._node.clock.wall_now()
        x = model.step(model.embed(batch.token_ids_T), batch.layout)
        stepped_ns = self._node.clock.wall_now()
        choices, logits = self._choose(x, batch, sampling) if batch.sampled else ({}, {})
        sampling_ns = self._node.clock.wall_now() - stepped_ns
        return StepResult(choices, logits, stepped_ns - begun_ns, 0, sampling_ns)

    def _choose(
        self, x: Hidden, batch: "_Batch", sampling: Mapping[str, SamplingParams]
    ) -> tuple[dict[str, Choice], dict[str, NDArray[np.float32]]]:
        logits_RV = self._model.logits(x, batch.rows_R)
        params = [sampling[item.seq.seq_id] for item in batch.sampled]
        uniforms = [
            self._node.rng.uniform("sample", p.seed, item.seq.num_outputs) if p.temperature else 0.0
            for item, p in zip(batch.sampled, params, strict=True)
        ]
        try:
            chosen = choose_all(logits_RV, params, uniforms)
        except ValueError as error:  # a broken model must not end the chip's loop
            raise PerfuseError(str(error)) from error
        ids = [item.seq.seq_id for item in batch.sampled]
        choices = dict(zip(ids, chosen, strict=True))
        wanted = {
            seq_id: logits_V
            for seq_id, p, logits_V in zip(ids, params, logits_RV, strict=True)
            if p.return_logits
        }
        return choices, wanted


class _Batch:
    """A step's tokens as arrays, fixed before it runs: sequences may be preempted or aborted
    meanwhile.
    """

    def __init__(self, items: Sequence[Item]) -> None:
        self.layout = StepLayout(
            tuple(StepSequence(tuple(i.seq.block_ids), i.start, i.count) for i in items)
        )
        ids = [i.seq.token_ids[i.start : i.start + i.count] for i in items]
        self.token_ids_T = np.array([token for run in ids for token in run], dtype=np.int64)
        self.positions_T = np.concatenate([np.arange(i.start, i.start + i.count) for i in items])
        self.requests_T = np.repeat(
            np.array([request_number(i.seq.seq_id) for i in items], dtype=np.uint64),
            [i.count for i in items],
        )
        self.sampled = [i for i in items if i.samples]
        last_rows = np.cumsum([i.count for i in items]) - 1
        self.rows_R = last_rows[[i.samples for i in items]].astype(np.int64)
        self._request_id = items[0].seq.seq_id

    def tokens(self, layer: int, moe: MoeInput) -> Tokens:
        return Tokens(
            layer,
            self._request_id,
            self.requests_T,
            self.positions_T,
            moe.hidden_TH,
            moe.experts_TK,
            moe.weights_TK,
        )
