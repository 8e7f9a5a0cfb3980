"""Chips and shards of one process that share memory, for the tests of what crosses it."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from configs.precision import Precision, WireKind
from kernels.all_to_all import Geometry
from tests.workers.bench import SECOND_NS, Bench
from tests.workers.experts.toy import HIDDEN, NUM_EXPERTS, cluster, table
from workers.experts.exchange import DispatchHandle, DispatchSide
from workers.experts.near import NearHandle
from workers.experts.ranks import RankedNodes, Ranks
from workers.experts.tokens import Combined, Tokens
from workers.host.clock.live import LiveClock
from workers.model.numerics import numerics_of, wire_formats

T = TypeVar("T")
OWNER = [0, 1, 2, 3] * 2
CAPACITY, TOP_K = 16, 2
LONG_NS = 60 * SECOND_NS
Job = Callable[[Bench, dict[str, Any]], Awaitable[T]]


def run(
    job: Job[T],
    chips: tuple[str, ...] = ("chip",),
    rows: WireKind | None = None,
) -> T:
    """Chips and shards of one process that share memory, on the wall clock, nothing emulated."""

    async def main() -> T:
        clock = LiveClock(time.monotonic_ns(), emulated=False)
        nodes = (*chips, *(f"shard-{i}" for i in range(max(OWNER) + 1)))
        precision = Precision("fp32", "fp32") if rows is None else Precision("bf16", "bf16")
        sizes = len(nodes), CAPACITY, HIDDEN, NUM_EXPERTS, TOP_K
        geometry = Geometry(*sizes, *wire_formats(precision, rows))
        ranked = RankedNodes(nodes, geometry, b"of these tests alone")
        try:
            options = {"clock": clock, "ranked": ranked}
            numerics = numerics_of(precision, HIDDEN, rows)
            bench, models = cluster(OWNER, chips, numerics=numerics, **options)
            if rows is not None:
                for model in models.values():
                    model.forward = partial(narrow, model.forward)
            async with asyncio.timeout(100):
                return await bench.stand(lambda bench: job(bench, models))
        finally:
            clock.close()

    return asyncio.run(main())


def narrow(forward: Callable[..., NDArray], *arguments: Any) -> NDArray:
    """Sums as experts of a speed mode have them."""
    return forward(*arguments).astype(np.float32)


def side(bench: Bench, chip: str = "chip") -> DispatchSide:
    return bench.node(chip).dispatch_side(chip)


def ranks_of(bench: Bench, node: str = "chip") -> Ranks:
    found = bench.nodes[node].ranks
    assert found is not None
    return found


async def near(exchange: DispatchSide, batch: Tokens, timeout_ns: int = LONG_NS) -> NearHandle:
    handle = await exchange.dispatch_send(batch, table(OWNER), timeout_ns)
    assert isinstance(handle, NearHandle)
    return handle


async def by_messages(exchange: DispatchSide, batch: Tokens) -> NDArray:
    handle = await exchange.dispatch_send(batch, table(OWNER), LONG_NS)
    assert isinstance(handle, DispatchHandle)
    return whole(await exchange.combine_receive(handle))


def whole(combined: Combined) -> NDArray:
    assert not combined.missing
    return combined.sums_TH
