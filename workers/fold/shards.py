"""The shards of a fold, and the links of all its members: what the engine has counted, told to
their nodes whenever somebody looks.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kernels.fold import EndCounts, Size
from workers.experts.expert_shard import TOKENS
from workers.fold.accounts import charge, crossed
from workers.fold.engine import Engine
from workers.fold.launches import Asked
from workers.hardware.energy.phase import Cause, together
from workers.hardware.sharing.base import Rate, duration_ns
from workers.host.clock.base import Clock
from workers.node import Node

# So many steps end before shards and links are told of them, if nobody looks.
SETTLE_EVERY = 4_096


@dataclass(frozen=True, slots=True)
class Asks:
    """What a shard's launches ask for, and what messages weigh.

    compute, read   resources            flops     of a token at one expert
    expert_bytes    of one's weights     latency_ns   of reading them
    """

    dispatch: Size
    combine: Size
    compute: str = ""
    flops: int = 0
    read: str = ""
    expert_bytes: int = 0
    latency_ns: int = 0


class Shards:
    """chips, shards   nodes, in the engine's order (chips join one by one)
    owners_E        shard of each expert
    """

    def __init__(self, clock: Clock, engine: Engine, asks: Asks, owners_E: Sequence[int]) -> None:
        self._clock, self._engine, self._asks, self._owners_E = clock, engine, asks, owners_E
        self.chips: list[Node] = []
        self.shards: dict[int, Node] = {}
        self._since_ns, self._before = clock.now(), engine.counts()
        self._causes: list[tuple[Cause, int]] = []

    def note(self, cause: Cause, num_tokens: int) -> bool:
        """A step has ended that was for so many tokens; whether there are many by now."""
        self._causes.append((cause, num_tokens))
        return len(self._causes) >= SETTLE_EVERY

    def tokens_of(self, shard: int, name: str) -> dict[str, int]:
        """Counts of a shard, as `ExpertShard` has them."""
        tokens_E = self._engine.counts().expert_tokens_E.tolist()
        return {
            f"{TOKENS}{name}/{expert}": tokens
            for expert, (owner, tokens) in enumerate(zip(self._owners_E, tokens_E, strict=True))
            if owner == shard and tokens
        }

    def settle(self) -> None:
        """Tell all that was done by now."""
        counts, before, now_ns = self._engine.counts(), self._before, self._clock.now()
        cause, since_ns = together(self._causes), self._since_ns
        self._before, self._since_ns = counts, now_ns
        self._causes.clear()
        span = cause, since_ns, now_ns
        asks = self._asks
        ends = (counts.chips, before.chips, dict(enumerate(self.chips)), asks.dispatch), (
            counts.shards, before.shards, self.shards, asks.combine,
        )  # fmt: skip
        for now, then, nodes, size in ends:
            self._cross(now, then, nodes, size, span)
        work = zip(
            *((now - then).tolist() for now, then in (
                (counts.batches_S, before.batches_S),
                (counts.choices_S, before.choices_S),
                (counts.distinct_S, before.distinct_S),
            )), strict=True,
        )  # fmt: skip
        for shard, (batches, choices, distinct) in enumerate(work):
            if batches and shard in self.shards:
                hardware = self.shards[shard].hardware
                read = self._read(hardware.resources[asks.read].work_rate, batches, distinct)
                flops = choices * asks.flops
                busy_ns = duration_ns(flops, hardware.resources[asks.compute].work_rate)
                computed = Asked(flops, flops, batches, busy_ns, busy_ns)
                charge(hardware, {asks.compute: computed, asks.read: read}, *span)

    def _read(self, rate: Rate, batches: int, distinct: int) -> Asked:
        num_bytes = distinct * self._asks.expert_bytes
        busy_ns = duration_ns(num_bytes, rate)
        taken_ns = busy_ns + batches * self._asks.latency_ns
        return Asked(num_bytes, num_bytes, batches, busy_ns, taken_ns)

    def _cross(
        self,
        now: EndCounts,
        then: EndCounts,
        nodes: dict[int, Node],
        size: Size,
        span: tuple[Cause, int, int],
    ) -> None:
        columns = np.stack([
            now.messages_out - then.messages_out,
            now.rows_out - then.rows_out,
            now.busy_out_ns - then.busy_out_ns,
            now.busy_in_ns - then.busy_in_ns,
        ]).T.tolist()  # fmt: skip
        for number, node in nodes.items():
            messages, rows, out_ns, in_ns = columns[number]
            if messages or in_ns:
                crossed(node, (size.of(rows, messages), out_ns), in_ns, *span)


class FoldedShard:
    """An expert shard of a fold, for whoever looks at it."""

    def __init__(self, shards: Shards, number: int, name: str) -> None:
        self._shards, self._number, self._name = shards, number, name

    @property
    def counts(self) -> dict[str, int]:
        return self._shards.tokens_of(self._number, self._name)

    def backlog(self) -> int:
        """What waits is the engine's."""
        return 0
