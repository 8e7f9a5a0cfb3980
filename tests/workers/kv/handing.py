"""KV handed over in whole clusters, and changed on its way behind the frame's own checksum."""

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from cluster.router.router import Router
from cluster.worlds.virtual import VirtualWorld
from tests.cluster.worlds.chips_of_ranks import (
    SIZES,
    answers,
    expected,
    of_digests,
    tokens,
)
from tests.cluster.worlds.cluster import (
    Heard,
    blueprint,
    run,
    settle,
    workers_of,
)
from workers.chip.arrivals import Arrivals
from workers.host.trace import Noted
from workers.wire.kind import Kind
from workers.wire.kinds.kv import KvBlocks
from workers.wire.message import Message

Say = Callable[[str, Kind[Any]], Awaitable[Any]]
Change = Callable[[int, KvBlocks], KvBlocks | None]
APART: Mapping[str, object] = {
    "placement.kv_pool": False, "cluster.nodes.decode.count": 1, "cluster.nodes.prefill.count": 1,
}  # fmt: skip
ALL = sum(length for _, length, _ in SIZES)
in_both = pytest.mark.parametrize("numerics", ["real", "digest"])


def reference(numerics: str) -> list[list[int]]:
    return expected() if numerics == "real" else of_digests()


def changed(patched: pytest.MonkeyPatch, change: Change) -> None:
    """Each message with KV is what `change` makes of the `n`th; None: it is answered, and that is
    all.
    """
    right, seen = Arrivals._blocks, [0]

    async def blocks(self: Arrivals, message: Message[KvBlocks]) -> None:
        content = change(seen[0], message.content)
        seen[0] += 1
        if content is not None:
            await right(self, replace(message, content=content))

    patched.setattr(Arrivals, "_blocks", blocks)


async def figures(world: VirtualWorld) -> dict[str, int]:
    counts = await world.ask_each(list(world.seats), "counts")
    found = Counter[str]()
    for each in counts.values():
        found.update({name: each[name] for name in ("kv_refused", "kv_recomputed") if name in each})
    return dict(found)


def told(changes: Mapping[str, object]) -> tuple[list[Heard], dict[str, int], list[str]]:
    """What readers heard, figures of all chips, and what was noted."""

    async def job(world: VirtualWorld) -> tuple[list[Heard], dict[str, int], list[str]]:
        heard = await answers(world)
        await settle(world)
        notes = [r.what for r in world.trace.records if isinstance(r, Noted)]
        return heard, await figures(world), [what for what in notes if what.startswith("kv ")]

    return run(blueprint(changes), job)


def check_computed(numerics: str, changes: Mapping[str, object] = APART) -> dict[str, int]:
    """All answers are right, and what was computed for it was counted and noted."""
    heard, counts, notes = told({**changes, "model.numerics": numerics})
    assert [one.code for one in heard] == [""] * len(heard)
    assert tokens(heard) == reference(numerics)
    assert 0 < counts["kv_recomputed"] <= ALL and "kv recomputed" in notes
    assert notes.count("kv refused") == counts.get("kv_refused", 0)
    return counts


def told_directly(
    numerics: str,
    job: Callable[[VirtualWorld, Say], Awaitable[None]],
    changes: Mapping[str, object] = APART,
) -> None:
    """What a router may say to the decode chip, said by hand."""

    async def wrapped(world: VirtualWorld) -> None:
        (router,) = workers_of(world, Router).values()

        async def say(name: str, content: Kind[Any]) -> Any:
            until_ns = world.clock.now() + 10**9
            return await router.port.call(
                "decode-0", content, deadline_ns=until_ns, request_id=name
            )

        await job(world, say)
        await settle(world)

    run(blueprint({**changes, "model.numerics": numerics}), wrapped)
