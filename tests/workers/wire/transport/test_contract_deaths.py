"""What every wire between processes promises where a peer is killed."""

import asyncio

from tests.workers.wire.transport.messages import numbered
from tests.workers.wire.transport.wires import Run, Wires, ids
from workers.errors import PeerDead


def test_a_killed_process_fails_those_who_wait_for_room(run_framed: Run) -> None:
    """No sender hangs on a peer that died while its buffer was full, in the middle of a frame."""

    async def scenario(wires: Wires) -> None:
        (a,) = await wires.start("a")
        await a.mail.connect({"echo": await wires.start_mortal("echo")})
        sends = [asyncio.create_task(a.send("echo", numbered(i, 1024 * 1024))) for i in range(20)]
        await asyncio.sleep(0)  # lets the sends fill the buffer
        wires.crash("echo")
        results = await asyncio.gather(*sends, return_exceptions=True)
        assert {type(result) for result in results} == {type(None), PeerDead}
        assert await a.heard_of_deaths(1) == ["echo"]

    run_framed(scenario)


def test_a_process_that_is_killed_while_nothing_moves_takes_nobody_with_it(
    run_framed: Run,
) -> None:
    """Its connections break on their own, before anybody closes them."""

    async def scenario(wires: Wires) -> None:
        a, b = await wires.connected("a", "b")
        address = await wires.start_mortal("echo")
        for node in (a, b):
            await node.mail.connect({"echo": address})
            asked = numbered(0)
            asked.source = node.name
            await node.send("echo", asked)
            await node.received(1)
        wires.crash("echo")
        for node in (a, b):
            assert await node.heard_of_deaths(1) == ["echo"]
        await a.send("b", numbered(1))
        assert ids(await b.received(2)) == [0, 1]

    run_framed(scenario)
