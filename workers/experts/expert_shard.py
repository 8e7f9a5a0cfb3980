"""Owns some experts of every layer; serves the tokens of all chips."""

from collections.abc import Mapping, Sequence
from itertools import accumulate, pairwise

import numpy as np

from workers.experts.combine import Dispatched
from workers.experts.prefetch import Prefetch
from workers.experts.routing import NOBODY
from workers.hardware.energy.phase import Cause, together
from workers.model.base import ExpertModel
from workers.model.program import Sums
from workers.node import Node
from workers.wire.kinds.experts import ExpertHint
from workers.wire.message import Message
from workers.wire.roles import Array
from workers.wire.watch import says_so

# Of a count of tokens the name, before "<shard>/<expert>".
TOKENS = "expert_tokens_"


class ExpertShard:
    """A loop, not a handler, because weights are read once for all who wait."""

    def __init__(
        self, node: Node, name: str, experts: ExpertModel, prefetch: Prefetch | None = None
    ) -> None:
        """prefetch   what is read ahead as chips hint; None: nothing"""
        self._node, self._name, self._experts = node, name, experts
        self._prefetch = prefetch
        port = node.port(name)
        says_so(port)
        if prefetch is not None:
            port.on(ExpertHint, self._hint)
        self._exchange, self._numerics = node.combine_side(name), node.numerics
        self._tokens_E = np.zeros(0, dtype=np.int64)  # as long as the highest id asked for
        self.num_tokens = 0
        self.num_batches = 0

    async def serve(self) -> None:
        while True:
            waiting = await self._exchange.dispatch_receive()
            # One launch a layer: tokens of different layers share no weights. Layers go in the
            # order of first arrival.
            for layer, batch in _by_layer(waiting).items():
                try:
                    experts_TK = _joined([d.content.experts for d in batch])
                    sums = await self._computed(layer, batch, experts_TK)
                except Exception as error:
                    # A bug. It must not end the loop: whoever comes next would wait for nobody.
                    self._node.failed(f"{self._name} batch", error)
                    await self._exchange.refuse(batch, error)
                    continue
                await self._exchange.combine_send(batch, sums)

    async def _computed(
        self, layer: int, batch: Sequence[Dispatched], experts_TK: Array
    ) -> list[Sums]:
        """Weights that were read ahead are not read again, but may still be on their way."""
        run_for, cause = self._node.hardware.run_for, _cause(batch)
        if self._prefetch is None:
            work = self._experts.work(layer, experts_TK)
            return await run_for(cause, work, self._forward, layer, batch, experts_TK)
        asked = np.unique(experts_TK).tolist()
        there = self._prefetch.take(layer, asked)
        work = self._experts.work(layer, experts_TK, frozenset(there))
        sums = await run_for(cause, work, self._forward, layer, batch, experts_TK)
        for reading in there.values():
            if reading.num_open:
                await reading.certain()
            await self._node.clock.wait_until(reading.due_ns)
        return sums

    def _hint(self, message: Message[ExpertHint]) -> None:
        """Read what will be asked for next, as far as there is room."""
        assert self._prefetch is not None
        hint, hardware, now_ns = message.content, self._node.hardware, self._node.clock.now()
        self._prefetch.hint(
            hint.layer,
            hint.experts.tolist(),
            now_ns,
            lambda expert: hardware.launch(
                self._experts.read_work(expert), now_ns, hint.computed_for
            ),
        )

    @property
    def counts(self) -> dict[str, int]:
        """Since start: tokens that each of its experts computed, and what came of reading ahead."""
        computed = {
            f"{TOKENS}{self._name}/{expert}": int(self._tokens_E[expert])
            for expert in np.flatnonzero(self._tokens_E).tolist()
        }
        return computed if self._prefetch is None else computed | self._prefetch.figures()

    def backlog(self) -> int:
        """Dispatches that wait: 0 when idle."""
        return self._exchange.backlog()

    def _forward(self, layer: int, batch: Sequence[Dispatched], experts_TK: Array) -> list[Sums]:
        rows = self._numerics.received(_joined([d.content.hidden for d in batch]))
        weights_TK = _joined([d.content.weights for d in batch])
        sums_TH = self._numerics.answered(
            self._experts.forward(layer, rows, experts_TK, weights_TK)
        )
        asked = experts_TK[experts_TK != NOBODY]
        counted = np.bincount(asked, minlength=len(self._tokens_E))
        counted[: len(self._tokens_E)] += self._tokens_E
        self._tokens_E = counted
        self.num_tokens += len(sums_TH)
        self.num_batches += 1
        if len(batch) == 1:
            return [sums_TH]
        ends = accumulate(len(d.content.hidden) for d in batch)
        return [sums_TH[begin:end] for begin, end in pairwise((0, *ends))]


def _joined(arrays: Sequence[Array]) -> Array:
    """One array of all; most often there is but one."""
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)


def _cause(batch: Sequence[Dispatched]) -> Cause:
    if len(batch) == 1:
        return batch[0].content.computed_for
    return together((d.content.computed_for, len(d.content.hidden)) for d in batch)


def _by_layer(waiting: Sequence[Dispatched]) -> Mapping[int, Sequence[Dispatched]]:
    """Layers in the order of first arrival."""
    batches: dict[int, list[Dispatched]] = {}
    for dispatched in waiting:
        batches.setdefault(dispatched.content.layer, []).append(dispatched)
    return batches
