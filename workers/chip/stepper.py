"""One step of a chip: layer programs of its micro-batches, then the sampled tokens of all."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from workers.chip.batch import Batch, micro_batches
from workers.chip.interpreter import Interpreter, Lane, Spent
from workers.chip.scheduler import Item, Step
from workers.chip.shape import Shaped
from workers.chip.wanted import Wanted
from workers.errors import PerfuseError
from workers.experts.exchange import DispatchSide
from workers.experts.hints import HintSide
from workers.experts.routing import RoutingTable
from workers.hardware.energy.phase import together
from workers.kv.far import FarKv
from workers.model.base import ChipModel
from workers.model.forward import forward
from workers.model.local import LocalStep
from workers.model.min_tokens import held_back
from workers.model.program import Hidden
from workers.model.sampling import Choice, choose_all
from workers.node import Node


class Ranked(Protocol):
    """All ranks of a chip; see `workers.parallel.leader`."""

    async def run(self, step: Step) -> tuple[list[Lane], Spent]:
        """Layers of a step, over all ranks: what comes of them here."""
        ...


Chosen = tuple[dict[str, Choice], dict[str, NDArray[np.float32]]]


@dataclass(frozen=True, slots=True)
class StepResult:
    """What came of a step.

    choices         seq_id -> the sampled token with its log-probabilities
    logits          seq_id -> its row of logits, where it asked for them
    failures        seq_id -> why nothing of the step counts for it
    attention_ns    emulated time in launches over all layers; with the experts where the step is
                    one call
    expert_wait_ns  from dispatch to combine, and from queries to parts of attention, as far as
                    nothing else was computed meanwhile
    sampling_ns     vocabulary projection and choice
    """

    choices: Mapping[str, Choice]
    logits: Mapping[str, NDArray[np.float32]]
    failures: Mapping[str, PerfuseError]
    attention_ns: int
    expert_wait_ns: int
    sampling_ns: int


class Stepper:
    """Runs steps. Holds no state between them but the KV cache inside the model.

    table          who holds which experts; a step uses the one that it began with
    num_batches    micro-batches of a step
    local_step     all layers as one call, where this chip holds all experts itself and nothing is
                   emulated: what a layer will ask of them cannot be declared before
    before_step    what has to be done with blocks before a step writes them
    hints          to shards that read experts ahead
    far            where KV of its sequences may lie with memory servers
    ranked         where this chip is one of several ranks, and leads
    """

    def __init__(
        self,
        node: Node,
        model: ChipModel,
        exchange: DispatchSide,
        table: RoutingTable,
        *,
        timeout_ns: int,
        num_batches: Literal[1, 2] = 1,
        local_step: LocalStep | None = None,
        eos_token_ids: Sequence[int] = (),
        before_step: Callable[[], Awaitable[None]] | None = None,
        hints: HintSide | None = None,
        far: FarKv | None = None,
        ranked: Ranked | None = None,
    ) -> None:
        self._node, self._model, self.table, self._ranked = node, model, table, ranked
        self._eos, self._before_step = eos_token_ids, before_step
        self._num_batches, self._local_step = num_batches, local_step
        self._far = far
        queries = None if far is None else far.queries
        self._interpreter = Interpreter(node, exchange, timeout_ns, hints=hints, far=queries)

    @property
    def figures(self) -> dict[str, int]:
        """What came of KV that lies with memory servers; empty where none may."""
        return {} if self._far is None else self._far.figures

    async def run(self, step: Step, wanted: Mapping[str, Wanted]) -> StepResult:
        """Sequences whose experts did not answer, or whose numbers are not finite, fail; the others
        go on.
        """
        if self._before_step is not None:
            await self._before_step()
        hardware, clock = self._node.hardware, self._node.clock
        if self._local_step is not None:
            batch = Batch(step.items)
            return await hardware.compute(self._run_here, self._local_step, batch, wanted)
        if self._far is not None:
            self._far.begin(step)
        lanes, spent = await self._layers(step)
        going = [lane for lane in lanes if not lane.batch.is_lost]
        begun_ns = clock.now()
        chosen: Chosen = ({}, {})
        if going:
            num_rows = sum(len(lane.batch.sampled) for lane in going)
            work = self._model.logits_work(num_rows)
            cause = together((lane.batch.cause, len(lane.batch.token_ids_T)) for lane in going)
            chosen = await hardware.run_for(cause, work, self._sample, going, wanted)
        sampling_ns = clock.now() - begun_ns
        failures = {k: error for lane in lanes for k, error in lane.batch.failures.items()}
        return StepResult(*chosen, failures, spent.compute_ns, spent.wait_ns, sampling_ns)

    async def _layers(self, step: Step) -> tuple[list[Lane], Spent]:
        if self._ranked is not None:
            return await self._ranked.run(step)
        lanes = [self._lane(batch) for batch in micro_batches(step.items, self._num_batches)]
        return lanes, await self._interpreter.run(lanes, self.table)

    def _lane(self, batch: Batch) -> Lane:
        enter = partial(self._model.embed, batch.token_ids_T)
        return Lane(batch, forward(self._model, enter, batch.layout))

    def _run_here(
        self, local_step: LocalStep, batch: Batch, wanted: Mapping[str, Wanted]
    ) -> StepResult:
        wall_now = self._node.clock.wall_now
        begun_ns = wall_now()
        x = local_step(self._model.embed(batch.token_ids_T), batch.layout)
        stepped_ns = wall_now()
        chosen = self.choose([(batch, x)], wanted)
        sampling_ns = wall_now() - stepped_ns
        return StepResult(*chosen, batch.failures, stepped_ns - begun_ns, 0, sampling_ns)

    def _sample(self, lanes: Sequence[Lane], wanted: Mapping[str, Wanted]) -> Chosen:
        return self.choose([(lane.batch, lane.result()) for lane in lanes], wanted)

    def choose(
        self, computed: Sequence[tuple[Batch, Hidden]], wanted: Mapping[str, Wanted]
    ) -> Chosen:
        """One choice for all sequences of the step, whatever batch they were in. Those whose own
        numbers are not finite fail in their batch.
        """
        items: list[Item] = []
        logits: list[NDArray[np.float32]] = []
        for batch, x in computed:
            batch.check_hidden(x)
            if batch.sampled:
                logits.append(batch.finite_logits(self._model.logits(x, batch.last_rows)))
                items.extend(batch.sampled)
        if not items:
            return {}, {}
        logits_RV = logits[0] if len(logits) == 1 else np.concatenate(logits)
        asked = [wanted[item.seq.seq_id] for item in items]
        told = {
            item.seq.seq_id: logits_V.copy() if one.shaper else logits_V
            for item, one, logits_V in zip(items, asked, logits_RV, strict=True)
            if one.params.return_logits
        }
        shaped = Shaped(logits_RV, items, [one.shaper for one in asked])
        for batch, _ in computed:
            batch.fail(shaped.failures)
        return self._chosen(items, asked, shaped), told

    def _chosen(
        self, items: Sequence[Item], asked: Sequence[Wanted], shaped: Shaped
    ) -> dict[str, Choice]:
        params = [one.params for one in asked]
        uniforms = [
            self._node.rng.uniform("sample", p.seed, item.seq.num_outputs) if p.temperature else 0.0
            for item, p in zip(items, params, strict=True)
        ]
        held = [
            held_back(p, item.seq.num_outputs, self._eos)
            for item, p in zip(items, params, strict=True)
        ]
        try:
            choices = choose_all(shaped.logits_RV, params, uniforms, held, shaped.weighed_RV)
        except ValueError as error:  # a broken model must not end the chip's loop
            raise PerfuseError(str(error)) from error
        ids = [item.seq.seq_id for item in items]
        chosen = dict(zip(ids, choices, strict=True))
        for seq_id in shaped.failures:
            del chosen[seq_id]
        return chosen
