"""Queries on their way to the memory servers that hold some of their keys, and what comes back:
parts that were found there ("near"), or the keys themselves ("ship").
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from workers.chip.batch import Batch
from workers.chip.sequence import Sequence as TokenSequence
from workers.errors import Cancelled, PeerDead, PerfuseError
from workers.experts.tokens import Missing
from workers.hardware.work import Work
from workers.model.parts.kv_form import KvForm
from workers.model.parts.partial import Part, PartOf
from workers.model.program import Attend
from workers.node import Node
from workers.wire.calls import Pending
from workers.wire.kinds.near import NearAttend, NearBlocks, NearFetch, NearParts
from workers.wire.port import Port

Indices = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Striped:
    """A sequence's first `num_far` blocks, over so many servers in turn. Numbers begin at
    different servers, so that few blocks of many sequences are spread as well.
    """

    number: int
    num_far: int
    num_servers: int

    def servers_of(self, index: Indices) -> Indices:
        return (index + self.number) % self.num_servers

    def count(self, server: int) -> int:
        """Blocks with one of them."""
        first = (server - self.number) % self.num_servers
        return max(0, -(-(self.num_far - first) // self.num_servers))


@dataclass(frozen=True, slots=True)
class Asked:
    """What one server was asked for: of which sequences, the rows of each, and how many blocks it
    has to know of each.
    """

    server: str
    numbers: list[int] = field(default_factory=list)
    limits: list[int] = field(default_factory=list)
    rows: list[NDArray[np.intp]] = field(default_factory=list)
    blocks: list[int] = field(default_factory=list)


class KvLost(PeerDead):
    """Keys of a sequence are not with the server that was to have them."""

    code = "kv_lost"


# Told of sequences that have lost keys, and why.
OnLost = Callable[[Sequence[str], KvLost], None]
# Where the first blocks of a sequence are, so many; None where it has let them go.
WhereStriped = Callable[[TokenSequence, int], Striped | None]


class FarQueries:
    """`striped` says where a sequence's blocks are; `on_lost` is told which have lost some.

    kv_tier   of this chip, through which shipped blocks go
    """

    def __init__(
        self,
        node: Node,
        port: Port,
        form: KvForm,
        servers: tuple[str, ...],
        kv_tier: str,
        mode: Literal["near", "ship"],
        timeout_ns: int,
        striped: WhereStriped,
        on_lost: OnLost,
    ) -> None:
        self._node, self._port, self._form, self._servers = node, port, form, servers
        self._striped, self.on_lost = striped, on_lost
        self._kv_tier, self._mode, self._timeout_ns = kv_tier, mode, timeout_ns

    async def send(self, batch: Batch, op: Attend) -> "AtServers":
        """Each server's share of the queries, of sequences that have blocks there. Who cannot be
        asked has lost these sequences of the batch.
        """
        away = AtServers(self, batch, op)
        deadline_ns, request_id = (
            self._node.clock.now() + self._timeout_ns,
            batch.items[0].seq.seq_id,
        )
        try:
            for asked in self._asked(batch):
                content = self._content(asked, batch, op)
                call = self._port.post(
                    asked.server, content, deadline_ns=deadline_ns, request_id=request_id
                )
                try:
                    away.pending.append((asked, await call))
                except PerfuseError as error:
                    away.lack(asked, error)
        except BaseException:
            away.abandon()
            raise
        return away

    def _asked(self, batch: Batch) -> list[Asked]:
        """In the order of the servers, so that parts merge in one order."""
        asked = [Asked(server) for server in self._servers]
        end = 0
        for item, sequence in zip(batch.items, batch.layout.sequences, strict=True):
            first, end = end, end + item.count
            if not sequence.num_far or item.seq.seq_id in batch.failures:
                continue
            striped = self._striped(item.seq, sequence.num_far)
            if striped is None:
                error = Cancelled(f"{item.seq.seq_id} has let its KV go")
                batch.failures.setdefault(item.seq.seq_id, error)
                continue
            for place, one in enumerate(asked):
                if num_blocks := striped.count(place):
                    one.numbers.append(striped.number)
                    one.limits.append(striped.num_far)
                    one.rows.append(np.arange(first, end))
                    one.blocks.append(num_blocks)
        return [one for one in asked if one.numbers]

    def _content(self, asked: Asked, batch: Batch, op: Attend) -> NearAttend | NearFetch:
        numbers = np.array(asked.numbers, dtype=np.uint64)
        limits = np.array(asked.limits, dtype=np.int64)
        if self._mode == "ship":
            return NearFetch(op.layer, numbers, limits, batch.cause)
        counts = np.array([len(rows) for rows in asked.rows], dtype=np.int64)
        queries = np.ascontiguousarray(op.queries_TND[np.concatenate(asked.rows)])
        return NearAttend(op.layer, numbers, limits, counts, queries, batch.cause)

    async def settled(self, pending: Sequence[Pending[Any]]) -> None:
        await self._port.settled(pending)

    async def part_of(self, asked: Asked, answer: Any, batch: Batch, op: Attend) -> PartOf:
        """What came of an answer: a part, or keys to make one of."""
        rows = np.concatenate(asked.rows)
        if isinstance(answer, NearParts):
            return PartOf(rows, Part(answer.out, answer.lse))
        assert isinstance(answer, NearBlocks), answer
        sizes, counts = answer.num_blocks.tolist(), [len(one) for one in asked.rows]
        num_bytes = sum(sizes) * self._form.layer_bytes
        pairs = sum(n * c for n, c in zip(sizes, counts, strict=True)) * self._form.block_size
        tier = {self._kv_tier: num_bytes}
        work = Work.of("far_attention", flops=self._form.flops(pairs), reads=tier, writes=tier)
        queries = op.queries_TND[rows]
        part: Part = await self._node.hardware.run_for(
            batch.cause, work, self._over, answer.blocks, queries, sizes, counts
        )
        return PartOf(rows, part)

    def _over(
        self, blocks: NDArray[np.uint8], queries: Any, sizes: list[int], counts: list[int]
    ) -> Part:
        """A part over one layer of some blocks."""
        cache = self._form.cache(max(1, len(blocks)), num_layers=1)
        cache.write_blocks(np.arange(len(blocks)), np.ascontiguousarray(blocks))
        ends = np.cumsum([0, *sizes]).tolist()
        places = [range(begin, end) for begin, end in pairwise(ends)]
        return self._form.attend_all(cache, 0, queries, places, counts)


class AtServers:
    """A batch's queries, away."""

    def __init__(self, far: FarQueries, batch: Batch, op: Attend) -> None:
        self._far, self._batch, self._op = far, batch, op
        self.pending: list[tuple[Asked, Pending[Any]]] = []

    def lack(self, asked: Asked, error: PerfuseError) -> None:
        """A server did not answer: sequences with blocks there have lost them."""
        self._lose(asked, np.concatenate(asked.rows), error.message)

    def _lose(self, asked: Asked, rows: NDArray[np.intp], why: str) -> None:
        lost, known = KvLost(why), set(self._batch.failures)
        self._batch.lack([Missing(asked.server, rows, lost)])
        self._far.on_lost([name for name in self._batch.failures if name not in known], lost)

    async def receive(self) -> list[PartOf]:
        await self._far.settled([one for _, one in self.pending])
        parts: list[PartOf] = []
        for asked, one in self.pending:
            try:
                answer = one.take()
            except PerfuseError as error:
                self.lack(asked, error)
                continue
            self._lack_blocks(asked, answer)
            parts.append(await self._far.part_of(asked, answer, self._batch, self._op))
        return parts

    def _lack_blocks(self, asked: Asked, answer: NearParts | NearBlocks) -> None:
        """Sequences have lost some whose answer is not over all blocks that were meant."""
        found = answer.num_blocks.tolist()
        for rows, expected, actual in zip(asked.rows, asked.blocks, found, strict=True):
            if expected != actual:
                self._lose(asked, rows, f"{asked.server} has {actual} of {expected} KV blocks")

    def abandon(self) -> None:
        for _, one in self.pending:
            one.abandon()
