"""What a rank has been told of its chip's sequences: orders in their order, and blocks."""

from collections.abc import Sequence as Seq
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workers.chip.sequence import Sequence
from workers.chip.step import Item
from workers.wire.kinds.ranks import ExpectKv, Forget, StepOrder
from workers.wire.message import Message

Order = Message[StepOrder] | Message[ExpectKv] | Message[Forget]


class ToldSequence(Sequence):
    """A sequence as a rank knows it: its blocks, and how long its prompt is; no tokens."""

    __slots__ = ()

    def __init__(self, seq_id: str, block_ids: Seq[int], num_prompt: int) -> None:
        self.seq_id, self.block_ids, self.num_prompt = seq_id, list(block_ids), num_prompt
        self.num_far, self.token_ids = 0, []


@dataclass(frozen=True, slots=True)
class ToldStep:
    """A step as a rank runs it. `token_ids_T` are zeros where it does not embed them."""

    step: int
    items: tuple[Item, ...]
    token_ids_T: NDArray[np.int64]


class Told:
    """Pure: orders in, what they mean out.

    blocks   request -> its blocks, in logical order
    """

    def __init__(self) -> None:
        self.blocks: dict[str, list[int]] = {}
        self._stream = (-1, -1)  # incarnation of the leader, generation
        self._next = 0
        self._early: dict[int, Order] = {}

    def in_order(self, message: Order) -> list[Order]:
        """Orders that may be followed now; one that is ahead of another waits for it."""
        stream = (message.source_epoch, message.content.generation)
        if stream < self._stream:
            return [message]  # of before: whoever said it knows that it is void
        if stream > self._stream:
            self._stream, self._next = stream, 0
            self._early.clear()
            self.blocks.clear()
        self._early[message.content.number] = message
        ready = []
        while self._next in self._early:
            ready.append(self._early.pop(self._next))
            self._next += 1
        return ready

    def is_void(self, message: Order) -> bool:
        return (message.source_epoch, message.content.generation) < self._stream

    def forget(self, ended: Seq[str]) -> None:
        for seq_id in ended:
            self.blocks.pop(seq_id, None)

    def step(self, order: StepOrder) -> ToldStep:
        """What its sequences hold changes with it."""
        items = []
        rows = zip(
            order.requests, order.start, order.count, order.known, order.blocks, order.prompt,
            strict=True,
        )  # fmt: skip
        for seq_id, start, count, known, fresh, prompt in rows:
            held = [*self.blocks.get(seq_id, [])[:known], *fresh]
            self.blocks[seq_id] = held
            items.append(Item(ToldSequence(seq_id, held, prompt), start, count, False))
        ids = np.array(order.token_ids, dtype=np.int64)
        if not order.token_ids:
            ids = np.zeros(sum(order.count), dtype=np.int64)
        return ToldStep(order.step, tuple(items), ids)
