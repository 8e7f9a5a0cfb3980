"""What only the UCX wire has: processes, other ways by size, its door; nothing is left behind."""

import asyncio
import os
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import psutil
import pytest

from tests.workers.wire.parcel import Parcel
from tests.workers.wire.transport.messages import numbered
from tests.workers.wire.transport.wires import TIMEOUT_S, Wires
from workers.errors import PeerDead
from workers.wire.message import Message

if find_spec("ucxx") is None:
    pytest.skip("needs the extra ucx: pip install 'perfuse[ucx]'", allow_module_level=True)

from tests.shared_memory import left_behind, names
from tests.workers.wire.transport.ucx_nodes import close, pair, started
from workers.wire.transport.ucx import UcxTransport


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["ucx_tcp", "ucx_unix"])
def test_sizes_from_nothing_to_the_most_there_may_be(kind: str) -> None:
    """Past every threshold at which UCX sends in another way; arrays are views of one buffer."""

    async def scenario() -> None:
        async with asyncio.timeout(TIMEOUT_S), Wires(kind) as wires:
            a, b = await wires.connected("a", "b")
            sizes = [0, 1, 8_000, 9_000, 65_000, 66_000, 2**18, 2**20 + 1, 256 * 2**20 - 4_096]
            for i, size in enumerate(sizes):
                tensor = np.arange(size, dtype=np.uint8)
                parcel = Parcel(tensors={"t": tensor})
                await a.send("b", Message(parcel, "chip", "pool", message_id=i))
                got = (await b.received(i + 1))[i]
                array = got.content.tensors["t"]
                assert np.array_equal(array, tensor)
                assert array.base is not None or not size
                b.inbox[i] = numbered(i)

    asyncio.run(scenario())


def test_small_messages_wait_for_the_large_one_before_them() -> None:
    async def scenario() -> None:
        async with asyncio.timeout(TIMEOUT_S), Wires("ucx_unix") as wires:
            a, b = await wires.connected("a", "b")
            for i in range(60):
                await a.send("b", numbered(i, 4_000_000 if i % 10 == 0 else 64))
            assert [m.message_id for m in await b.received(60)] == list(range(60))

    asyncio.run(scenario())


def test_large_messages_of_one_peer_do_not_hold_up_another_s() -> None:
    """Order is kept for each link alone: one of b's comes before the last of many of a's."""

    async def scenario() -> None:
        async with asyncio.timeout(TIMEOUT_S), Wires("ucx_unix") as wires:
            a, b, c = await wires.connected("a", "b", "c")
            many = 24  # far more than one turn of the event loop can carry
            sends = [asyncio.create_task(a.send("c", numbered(i, 16 * 2**20))) for i in range(many)]
            await c.received(1)  # a's are on their way
            await b.send("c", numbered(many))
            arrived = [m.message_id for m in await c.received(many + 1)]
            assert sorted(arrived) == list(range(many + 1))
            assert arrived.index(many) < many
            await asyncio.gather(*sends)

    asyncio.run(scenario())


def test_an_address_that_is_none_is_named() -> None:
    async def scenario() -> None:
        a = await started("a", UcxTransport("a"))
        await a.mail.connect({"b": "nowhere"})
        with pytest.raises(PeerDead, match="'nowhere' is no address"):
            await a.send("b", numbered(1))
        await close(a)

    asyncio.run(scenario())


def test_nothing_is_left_behind() -> None:
    """No folder, no segment, no thread of ours, no variable in the environment."""
    before, shared = dict(os.environ), names()

    async def scenario() -> None:
        a, b = await pair(unix=True)
        folder = Path(a.address.removeprefix("unix:")).parent
        assert folder.stat().st_mode & 0o777 == 0o700
        assert (folder / "door").stat().st_mode & 0o777 == 0o600
        assert not left_behind(shared), "a crash could leave these"
        await a.send("b", numbered(1, 1_000_000))
        await b.received(1)
        await close(a, b)
        assert not folder.exists()

    asyncio.run(scenario())
    assert not left_behind(shared)
    assert dict(os.environ) == before and not [n for n in os.environ if n.startswith("UCX_")]


def test_segments_have_their_names_in_the_folder_that_is_given(tmp_path: Path) -> None:
    """For a moment each; in a folder that is not there, there can be none."""

    async def scenario() -> None:
        async with asyncio.timeout(TIMEOUT_S):
            a, b = await pair(unix=True, segments=tmp_path)
            await a.send("b", numbered(1, 1_000_000))
            await b.received(1)
            await close(a, b)
            a, b = await pair(unix=True, segments=tmp_path / "nowhere")
            with pytest.raises(PeerDead):
                await a.send("b", numbered(2))
            await close(a, b)

    asyncio.run(scenario())
    assert not list(tmp_path.iterdir())


def test_on_one_machine_no_port_is_opened() -> None:
    async def scenario() -> None:
        known = {c.laddr for c in psutil.Process().net_connections("inet")}
        a, b = await pair(unix=True)
        assert {c.laddr for c in psutil.Process().net_connections("inet")} == known
        await close(a, b)

    asyncio.run(scenario())
