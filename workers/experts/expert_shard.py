"""Owns some experts of every layer; serves the tokens of all chips."""

from collections.abc import Mapping, Sequence

import numpy as np

from workers.experts.exchange import Dispatched
from workers.hardware.work import Work
from workers.model.base import ExpertModel
from workers.model.program import Sums
from workers.node import Node
from workers.wire.roles import Array


class ExpertShard:
    """A loop, not a handler, because weights are read once for all who wait."""

    def __init__(self, node: Node, name: str, experts: ExpertModel) -> None:
        self._node, self._name, self._experts = node, name, experts
        self._exchange = node.combine_side(name)
        self.num_tokens = 0
        self.num_batches = 0

    async def serve(self) -> None:
        while True:
            waiting = await self._exchange.dispatch_receive()
            # One launch a layer: tokens of different layers share no weights. Layers go in the
            # order of first arrival.
            for layer, batch in _by_layer(waiting).items():
                try:
                    sums = await self._node.hardware.run(
                        self._work(layer, batch), self._forward, layer, batch
                    )
                except Exception as error:
                    # A bug. It must not end the loop: whoever comes next would wait for nobody.
                    self._node.failed(f"{self._name} batch", error)
                    await self._exchange.refuse(batch, error)
                    continue
                await self._exchange.combine_send(batch, sums)

    def backlog(self) -> int:
        """Dispatches that wait: 0 when idle."""
        return self._exchange.backlog()

    def _work(self, layer: int, batch: Sequence[Dispatched]) -> Work:
        return self._experts.work(layer, _joined([d.content.experts for d in batch]))

    def _forward(self, layer: int, batch: Sequence[Dispatched]) -> list[Sums]:
        sums_TH = self._experts.forward(
            layer,
            _joined([d.content.hidden for d in batch]),
            _joined([d.content.experts for d in batch]),
            _joined([d.content.weights for d in batch]),
        )
        self.num_tokens += len(sums_TH)
        self.num_batches += 1
        *before, _ = [len(d.content.hidden) for d in batch]
        return np.split(sums_TH, np.cumsum(before)) if before else [sums_TH]


def _joined(arrays: Sequence[Array]) -> Array:
    """One array of all; most often there is but one."""
    first, *others = arrays
    return np.concatenate(arrays) if others else first


def _by_layer(waiting: Sequence[Dispatched]) -> Mapping[int, Sequence[Dispatched]]:
    """Layers in the order of first arrival."""
    batches: dict[int, list[Dispatched]] = {}
    for dispatched in waiting:
        batches.setdefault(dispatched.content.layer, []).append(dispatched)
    return batches
