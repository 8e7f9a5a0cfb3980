"""What a cluster answers, and what of KV goes from chip to chip meanwhile."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from cluster.worlds.blueprint import Blueprint
from cluster.worlds.virtual import VirtualWorld
from tests.cluster.worlds.cluster import ask_all, run, settle
from workers.host.trace import Delivered


def handed_over(
    plan: Blueprint, wanted: Sequence[Any]
) -> tuple[list[list[int]], Counter[int], int]:
    """Tokens of each request; bytes of a message with KV -> how many there were; preemptions."""

    async def job(world: VirtualWorld) -> tuple[list[list[int]], Counter[int], int]:
        heard = await ask_all(world, wanted)
        assert not any(one.code for one in heard), [one.error for one in heard]
        await settle(world)
        counts = await world.ask_each(list(world.seats), "counts")
        preempted = sum(each.get("preemptions", 0) for each in counts.values())
        heard_of = [r for r in world.trace.records if isinstance(r, Delivered)]
        sent = Counter(r.num_bytes for r in heard_of if r.kind == "kv_blocks")
        return [one.tokens for one in heard], sent, preempted

    return run(plan, job)
