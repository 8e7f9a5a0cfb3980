"""One step of a chip: layer programs of its micro-batches, then the sampled tokens of all."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from workers.chip.batch import Batch, micro_batches
from workers.chip.choosing import Chooser, Chosen, Sampling
from workers.chip.interpreter import Interpreter, Lane, Spent
from workers.chip.scheduler import Step
from workers.chip.wanted import Wanted
from workers.errors import PerfuseError
from workers.experts.exchange import DispatchSide
from workers.experts.hints import HintSide
from workers.experts.late import Lateness
from workers.experts.routing import RoutingTable
from workers.hardware.energy.phase import together
from workers.kv.far import FarKv
from workers.model.base import ChipModel
from workers.model.forward import forward
from workers.model.local import LocalStep
from workers.model.program import Hidden
from workers.model.sampling import Choice
from workers.node import Node


class Ranked(Protocol):
    """All ranks of a chip; see `workers.parallel.leader`."""

    async def run(self, step: Step) -> tuple[list[Lane], Spent]:
        """Layers of a step, over all ranks: what comes of them here."""
        ...


@dataclass(frozen=True, slots=True)
class StepResult:
    """What came of a step.

    choices         seq_id -> the sampled token with its log-probabilities
    logits          seq_id -> its row of logits, where it asked for them
    failures        seq_id -> why nothing of the step counts for it
    approximated    seq_ids of which a share of experts was replaced
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
    approximated: frozenset[str] = frozenset()


class Stepper:
    """Runs steps. Holds no state between them but the KV cache inside the model.

    table          who holds which experts; a step uses the one that it began with
    num_batches    micro-batches of a step
    local_step     all layers as one call, where this chip holds all experts itself and nothing is
                   emulated: what a layer will ask of them cannot be declared before
    chooser        what says which tokens come; left out, the model's logits do
    before_step    what has to be done with blocks before a step writes them
    hints          to shards that read experts ahead
    far            where KV of its sequences may lie with memory servers
    ranked         where this chip is one of several ranks, and leads
    late           when a share of experts is, and what then; None: when a call's time is over
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
        chooser: Chooser | None = None,
        before_step: Callable[[], Awaitable[None]] | None = None,
        hints: HintSide | None = None,
        far: FarKv | None = None,
        ranked: Ranked | None = None,
        late: Lateness | None = None,
    ) -> None:
        self._node, self._model, self.table, self._ranked = node, model, table, ranked
        self._exchange = exchange
        self._chooser = chooser or Sampling(model, node.rng, eos_token_ids)
        self._before_step = before_step
        self._num_batches, self._local_step = num_batches, local_step
        self._far = far
        queries = None if far is None else far.queries
        self._replaces, self.num_replaced = late is not None and late.replaces, 0
        self._interpreter = Interpreter(
            node, exchange, timeout_ns, hints=hints, far=queries, late=late
        )

    @property
    def figures(self) -> dict[str, int]:
        """What came of KV that lies with memory servers, of spares, and of shares that were late;
        empty where none of these may be.
        """
        figures = {**({} if self._far is None else self._far.figures), **self._exchange.figures}
        return {**figures, "shares_replaced": self.num_replaced} if self._replaces else figures

    async def run(self, step: Step, wanted: Mapping[str, Wanted]) -> StepResult:
        """Sequences whose experts did not answer, or whose numbers are not finite, fail; the others
        go on.
        """
        # Before anything is awaited: who is let go meanwhile has no blocks then.
        batches = self._batches(step)
        if self._before_step is not None:
            await self._before_step()
        hardware, clock = self._node.hardware, self._node.clock
        if self._local_step is not None:
            return await hardware.compute(self._run_here, self._local_step, batches[0], wanted)
        if self._far is not None:
            self._far.begin(step)
        lanes, spent = await self._layers(step, batches)
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
        approximated = frozenset[str]().union(*(lane.batch.approximated for lane in lanes))
        self.num_replaced += sum(lane.batch.num_replaced for lane in lanes)
        times_ns = spent.compute_ns, spent.wait_ns, sampling_ns
        return StepResult(*chosen, failures, *times_ns, approximated)

    def _batches(self, step: Step) -> Sequence[Batch]:
        if self._ranked is not None:
            return ()  # it makes its own
        num = 1 if self._local_step is not None else self._num_batches
        return micro_batches(step.items, num)

    async def _layers(self, step: Step, batches: Sequence[Batch]) -> tuple[list[Lane], Spent]:
        if self._ranked is not None:
            return await self._ranked.run(step)
        lanes = [self._lane(batch) for batch in batches]
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

    def choose(
        self, computed: Sequence[tuple[Batch, Hidden]], wanted: Mapping[str, Wanted]
    ) -> Chosen:
        """One choice for all sequences of a step, whatever batch they were in."""
        return self._chooser.choose(computed, wanted)

    def _sample(self, lanes: Sequence[Lane], wanted: Mapping[str, Wanted]) -> Chosen:
        return self.choose([(lane.batch, lane.result()) for lane in lanes], wanted)
