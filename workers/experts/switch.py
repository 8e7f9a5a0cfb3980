"""The switch's part of the exchange: it copies tokens on their way to shards, and adds what these
make of them.

It keeps nothing but sums that wait for those of other shards, until all are there, those that are
not have left the cluster, or it is time to pass on what has come (as aggregators do that live in
switches: Lao et al., ATP, NSDI 2021). So a straggler holds up nobody for long, and nothing is kept
for ever.
"""

from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workers.errors import PeerDead
from workers.hardware.additions import Additions
from workers.host.clock.base import Timer
from workers.node import Node
from workers.wire.kind import Kind
from workers.wire.kinds.experts import Gather
from workers.wire.kinds.switched import Multicast, Partial, Reduced, Relayed
from workers.wire.membership import Member
from workers.wire.message import Message
from workers.wire.roles import row_width

# Chip, its incarnation, and the number of its dispatch.
Key = tuple[str, int, int]


@dataclass(slots=True)
class _Waiting:
    """Sums that have come, by their shards; tokens that have one, where additions are charged."""

    gather: Gather
    missing: set[str]
    timer: Timer
    tokens: set[tuple[int, int]] = field(default_factory=set)
    come: dict[str, Message[Partial]] = field(default_factory=dict)


class ExpertSwitch:
    """Of one switch, for all chips that use it."""

    def __init__(self, node: Node, worker: str) -> None:
        self._node, self._port = node, node.port(worker)
        self._numerics, self._clock = node.numerics, node.clock
        self._waiting: dict[Key, _Waiting] = {}
        self._additions = Additions(node.hardware, node.clock)
        self._port.on(Multicast, self._copy)
        self._port.on(Partial, self._add)
        node.members.on_leave.append(self._left)

    def __len__(self) -> int:
        """Dispatches whose sums wait: 0 when idle."""
        return len(self._waiting)

    # -- copies ------------------------------------------------------------------------------------

    async def _copy(self, message: Message[Multicast]) -> None:
        told = message.content
        caller = message.caller
        for index, shard in enumerate(told.shards):
            is_its_TK = told.owners == index
            rows = np.flatnonzero(is_its_TK.any(axis=1))
            content = Relayed(
                told.layer,
                told.request[rows],
                told.position[rows],
                np.where(is_its_TK[rows], told.experts[rows], np.int32(-1)),
                told.weights[rows],
                told.hidden[rows],
                told.computed_for,
                told.gather,
                message.source,
                caller.epoch,
                told.calls[index],
                told.concluded[index],
                told.until_ns,
            )
            await self._send(shard, content, message.request_id)

    async def _send(self, worker: str, content: Kind[Any], request_id: str) -> None:
        try:
            await self._port.send(worker, content, request_id=request_id)
        except PeerDead:
            return  # whoever asked it, or waits for it, knows

    # -- sums --------------------------------------------------------------------------------------

    def _add(self, message: Message[Partial]) -> None:
        told = message.content
        gather = told.gather
        assert gather is not None, "who sends sums here was told of others"
        key = told.asker, told.epoch, gather.number
        waiting = self._waiting.get(key)
        if waiting is None:
            living = {shard for shard in gather.shards if self._lives(shard)}
            timer = self._clock.call_at(gather.until_ns, self._pass_on, key)
            waiting = self._waiting[key] = _Waiting(gather, living, timer)
        if message.source in waiting.come:
            return
        waiting.come[message.source] = message
        num_bytes = 0
        if self._additions.are_charged:
            tokens = set(zip(told.request.tolist(), told.position.tolist(), strict=True))
            row_bytes = self._numerics.sum_bytes(row_width(told.sums))
            num_bytes = len(tokens & waiting.tokens) * row_bytes
            waiting.tokens |= tokens
        added = partial(self._added, key, waiting, message.source)
        self._additions.then(num_bytes, told.computed_for, added)

    def _added(self, key: Key, waiting: _Waiting, shard: str) -> None:
        waiting.missing.discard(shard)
        if self._waiting.get(key) is not waiting:
            return  # it was passed on without this one, which was there
        gather = waiting.gather
        if not waiting.missing or self._clock.now() >= gather.until_ns:
            self._pass_on(key)

    def _lives(self, worker: str) -> bool:
        node = self._node.members.node_of(worker)
        return node is not None and self._node.members.member(node) is not None

    def _left(self, member: Member, reason: str) -> None:
        """Nobody need wait for its shards."""
        for key, waiting in list(self._waiting.items()):
            waiting.missing = {shard for shard in waiting.missing if self._lives(shard)}
            if not waiting.missing:
                self._pass_on(key)

    def _pass_on(self, key: Key) -> None:
        """What has come, in the order of the shards."""
        waiting = self._waiting.pop(key, None)
        if waiting is None:
            return
        waiting.timer.cancel()
        come = [waiting.come[shard] for shard in waiting.gather.shards if shard in waiting.come]
        parts = [message.content for message in come]
        request = np.concatenate([part.request for part in parts])
        position = np.concatenate([part.position for part in parts])
        rows = _first_of_each(request, position)
        width = row_width(parts[0].sums)
        content = Reduced(
            request[rows],
            position[rows],
            tuple(part.call for part in parts),
            tuple(message.source for message in come),
            key[1],
            len(rows) * self._numerics.sum_bytes(width),
            {str(index): part.sums for index, part in enumerate(parts)},
            parts[0].computed_for,
        )
        self._node.spawn(self._send(key[0], content, come[0].request_id), "sums of experts")


def _first_of_each(request: NDArray[np.uint64], position: NDArray[np.int64]) -> NDArray[np.intp]:
    """Where each token comes first."""
    tokens = np.stack([request.view(np.int64), position], axis=1)
    _, first = np.unique(tokens, axis=0, return_index=True)
    return np.sort(first)
