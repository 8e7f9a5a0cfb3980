"""KV blocks on their way from a prefill chip to a decode chip.

Blocks leave while prefill still runs, in logical order, each with its index and checksum. The
destination writes and acknowledges them; only then does the source let go.

    prefill   chunk 0 ▓▓  chunk 1 ▓▓  chunk 2 ▓▓ + first token
    wire             blocks 0-3 ──▶   blocks 4-7 ──▶   blocks 8-9 ──▶  start(first token)
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workers.errors import CorruptMessage
from workers.hardware.work import Work
from workers.kv.pool import block_checksum
from workers.model.base import ChipModel
from workers.node import Node
from workers.wire.kinds.kv import KvBlocks, PoolBlocks, Start
from workers.wire.port import Port
from workers.wire.roles import Array


def block_checksums(blocks: Array) -> NDArray[np.uint64]:
    """One checksum a block, [block]: the same that the memory servers' pool keeps."""
    return np.array([block_checksum(block) for block in blocks], dtype=np.uint64)


def verify_blocks(request_id: str, content: KvBlocks | PoolBlocks) -> None:
    """Raise CorruptMessage naming the first block that does not fit its checksum."""
    found = block_checksums(content.blocks)
    for index, expected, actual in zip(content.index, content.checksum, found, strict=True):
        if expected != actual:
            raise CorruptMessage(
                f"KV block {index} of {request_id} has checksum {actual:#x}, not {expected:#x}"
            )


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a sequence's KV goes: the decode chip, and the first block it does not have yet."""

    chip: str
    first_block: int


class Handover:
    """The source's half for one sequence: call `computed` as prefill goes on; `send` is its
    task.
    """

    def __init__(
        self,
        node: Node,
        port: Port,
        model: ChipModel,
        request_id: str,
        destination: Destination,
        timeout_ns: int,
    ) -> None:
        self._node, self._port, self._model = node, port, model
        self._request_id, self._to, self._timeout_ns = request_id, destination, timeout_ns
        self._next_block = destination.first_block
        # Each entry: first logical index, blocks to send, the first token once prefill is done,
        # when computed.
        self._ready = node.mailbox(1024)

    def computed(self, block_ids: Sequence[int], num_tokens: int, first_token: int | None) -> None:
        """`num_tokens` tokens are in the cache; the last, partial block goes with the first
        token.
        """
        size = self._model.block_size
        end = num_tokens // size if first_token is None else -(-num_tokens // size)
        fresh = tuple(block_ids[self._next_block : end])
        if fresh or first_token is not None:
            self._ready.put((self._next_block, fresh, first_token, self._node.clock.now()))
        # Never back: a preempted prefill computes again what has gone, and what lies beneath
        # `first_block` is shared there.
        self._next_block = max(end, self._next_block)

    async def send(self) -> None:
        """Send all blocks, each chunk acknowledged before the next, then `start`.

        Raises PeerDead, DeadlineExceeded, or what the destination refused with.
        """
        done = False
        while not done:
            first, block_ids, first_token, computed_ns = await self._ready.get()
            if block_ids:
                await self._send_blocks(first, block_ids)
            if first_token is not None:
                await self._port.call(
                    self._to.chip,
                    Start(first_token, computed_ns),
                    deadline_ns=self._node.clock.now() + self._timeout_ns,
                    request_id=self._request_id,
                )
                done = True

    async def _send_blocks(self, first: int, block_ids: tuple[int, ...]) -> None:
        model = self._model
        work = kv_work(model, len(block_ids), "kv_read")
        blocks = await self._node.hardware.run(work, model.read_blocks, block_ids)
        await self._port.call(
            self._to.chip,
            KvBlocks(
                np.arange(first, first + len(block_ids), dtype=np.int64),
                block_checksums(blocks),
                blocks,
            ),
            deadline_ns=self._node.clock.now() + self._timeout_ns,
            request_id=self._request_id,
        )


def kv_work(model: ChipModel, num_blocks: int, what: str) -> Work:
    """Reading or writing some KV blocks of all layers: "kv_read" or "kv_write"."""
    num_bytes = num_blocks * model.block_bytes
    tier = {model.kv_tier: num_bytes}
    return Work.of(what, reads=tier) if what == "kv_read" else Work.of(what, writes=tier)
