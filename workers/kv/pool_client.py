"""A chip's way to the KV pool of the memory servers: shared prefixes are stored once and fetched
instead of computed.

A prefix lives on one server, chosen by the hash of its first block, so that one question tells how
much is there.
"""

from collections import OrderedDict
from collections.abc import Sequence as Seq

import numpy as np

from workers.chip.scheduler import Scheduler
from workers.chip.sequence import Sequence
from workers.errors import DeadlineExceeded, PerfuseError
from workers.kv.blocks import HASH_BYTES
from workers.kv.checksums import block_checksums, kv_work, verify_shared
from workers.model.base import ChipModel
from workers.node import Node
from workers.wire.kinds.kv import PoolBlocks, PoolGet, PoolPut
from workers.wire.port import Port
from workers.wire.roles import Array
from workers.wire.watch import Watch

# Hashes that this chip remembers to have stored. A forgotten one is offered again, and the server
# takes it once.
STORED_MAX = 1 << 16
# A fetch is given up after this share of a call's time: whoever asked for the prefill waits no
# longer than a call.
FETCH_SHARE = 4


def hash_columns(hashes: Seq[bytes]) -> Array:
    """Content hashes as a column: uint8 [block, 16]."""
    return np.frombuffer(b"".join(hashes), dtype=np.uint8).reshape(len(hashes), HASH_BYTES)


def hashes_of(column: Array) -> list[bytes]:
    """The reverse of `hash_columns`."""
    return [row.tobytes() for row in column]


def server_of(servers: tuple[str, ...], content: bytes) -> str:
    """The one that keeps what has this hash."""
    return servers[int.from_bytes(content[:8], "little") % len(servers)]


class PoolClient:
    """Fetches before a prefill, stores after it. A pool that fails costs time, never a request."""

    def __init__(
        self,
        node: Node,
        port: Port,
        model: ChipModel,
        servers: tuple[str, ...],
        timeout_ns: int,
        numbers: str | None = None,
        silence_ns: int | None = None,
    ) -> None:
        """numbers      of this chip's KV, where they are not the cluster's
        silence_ns   after which a server is silent that neither answers a fetch nor says that it
                     is there: until it is heard nobody waits for it; None: each fetch waits
        """
        self._numbers = numbers
        self._node, self._port, self._model = node, port, model
        self._servers, self._timeout_ns = servers, timeout_ns
        self._stored: OrderedDict[bytes, None] = OrderedDict()
        self.num_failures = 0
        self._silent: set[str] = set()
        self._watch: Watch | None = None
        if silence_ns is not None:
            heard = self._silent.discard
            self._watch = Watch(port, node.clock, node.spawn, silence_ns, heard)

    async def fetch(self, scheduler: Scheduler, seq: Sequence) -> int:
        """Bring what the pool has of this sequence's prefix; returns how many blocks came."""
        adoption = scheduler.take_external(seq)
        if adoption is None:
            return 0
        first_missing = adoption.missing[0]
        wanted = adoption.hashes[first_missing:]
        num_arrived = first_missing
        try:
            reply = await self._got(adoption.hashes[0], wanted, seq.seq_id)
            verify_shared(seq.seq_id, reply, wanted)
            num_found = len(reply.index)
            if num_found:
                block_ids = adoption.block_ids[first_missing : first_missing + num_found]
                work = kv_work(self._model, num_found, "kv_write")
                await self._node.hardware.run(
                    work, self._model.write_blocks, block_ids, reply.blocks
                )
                num_arrived += num_found
        except PerfuseError as error:
            self._failed("pool_get", error)
        finally:
            scheduler.blocks.install(adoption, num_arrived)
        return num_arrived - first_missing

    async def _got(self, first: bytes, wanted: Seq[bytes], request_id: str) -> PoolBlocks:
        """What the server of a prefix has of it. Raises what came instead, and DeadlineExceeded as
        soon as the server is silent.
        """
        deadline_ns = self._node.clock.now() + self._timeout_ns // FETCH_SHARE
        server = self._heard(server_of(self._servers, first), deadline_ns)
        pending = await self._port.post(
            server,
            PoolGet(hash_columns(wanted), self._numbers),
            deadline_ns=deadline_ns,
            request_id=request_id,
        )
        if self._watch is not None and not await self._watch.is_answered(pending):
            self._silent.add(server)
            self._heard(server, deadline_ns)
        return await pending.reply()

    def _heard(self, server: str, until_ns: int) -> str:
        """The same. Raises DeadlineExceeded where it is silent, and asks it whether it is back."""
        if self._watch is not None and server in self._silent:
            self._watch.ask(server, until_ns)
            raise DeadlineExceeded(f"{server} is silent")
        return server

    def store(self, scheduler: Scheduler, seq: Sequence) -> None:
        """Offer the full blocks of this sequence that are here, and not known to be there; does not
        wait.
        """
        hashes = seq.full_block_hashes()
        fresh = [i for i in range(seq.num_far, len(hashes)) if hashes[i] not in self._stored]
        if not fresh:
            return
        for i in fresh:
            self._stored[hashes[i]] = None
        while len(self._stored) > STORED_MAX:
            self._stored.popitem(last=False)
        block_ids = tuple(seq.block_ids[i] for i in fresh)
        scheduler.blocks.pin(block_ids)
        coroutine = self._store(
            scheduler,
            seq.seq_id,
            server_of(self._servers, hashes[0]),
            block_ids,
            [hashes[i] for i in fresh],
        )
        self._node.spawn(coroutine, f"pool store {seq.seq_id}")

    async def _store(
        self,
        scheduler: Scheduler,
        request_id: str,
        server: str,
        block_ids: tuple[int, ...],
        hashes: list[bytes],
    ) -> None:
        try:
            work = kv_work(self._model, len(block_ids), "kv_read")
            blocks = await self._node.hardware.run(work, self._model.read_blocks, block_ids)
        finally:
            scheduler.blocks.unpin(block_ids)
        try:
            deadline_ns = self._node.clock.now() + self._timeout_ns
            reply = await self._port.call(
                self._heard(server, deadline_ns),
                PoolPut(
                    hash_columns(hashes), block_checksums(blocks, hashes), blocks, self._numbers
                ),
                deadline_ns=deadline_ns,
                request_id=request_id,
            )
            if reply.refused:
                self.forget(hashes)
        except PerfuseError as error:
            self.forget(hashes)
            self._failed("pool_put", error)

    def forget(self, hashes: Seq[bytes]) -> None:
        """They are not there after all: offer them again another time."""
        for content in hashes:
            self._stored.pop(content, None)

    def _failed(self, what: str, error: PerfuseError) -> None:
        self.num_failures += 1
        self._node.trace.note(self._node.clock.now(), "pool failed", what, error.message)
