"""Faults of nodes that wait for whoever has the hands."""

import asyncio
from typing import Any

from cluster.faults.posted import POSTED_MAX, PostedFaults
from cluster.faults.written import read_any
from configs.schema.faults import OF_NODES, NodeFault


def fault(**more: Any) -> NodeFault:
    read = read_any({"type": "crash", "node": "decode-0", **more})
    assert isinstance(read, OF_NODES)
    return read


def test_they_are_taken_in_order_once_and_whoever_asks_waits() -> None:
    async def job() -> None:
        posted = PostedFaults({"posted-0"})
        asked = asyncio.ensure_future(posted.take())
        await asyncio.sleep(0)
        assert not asked.done()
        assert posted.put(fault()).name == "posted-1", "the scenario has the other name"
        assert posted.put(fault(name="mine")).name == "mine"
        assert [name for name, _ in await asked] == ["posted-1", "mine"]
        asked = asyncio.ensure_future(posted.take())
        await asyncio.sleep(0)
        assert not asked.done()
        asked.cancel()

    asyncio.run(job())


def test_a_name_is_nobody_else_s_and_so_many_wait_at_most() -> None:
    posted = PostedFaults({"first"})
    assert "name: 'first' was another's" in posted.problems(fault(name="first"))[0]
    for _ in range(POSTED_MAX):
        assert not posted.problems(fault())
        posted.put(fault())
    assert posted.problems(fault()) == ["64 faults of nodes wait to be done: ask again later"]
