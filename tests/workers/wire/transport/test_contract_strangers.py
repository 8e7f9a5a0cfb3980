"""Who is none of the cluster's, and peers that do what none should: on every wire between processes
each is sent away with the reason, and who is served stays served.
"""

import asyncio
import secrets
import ssl
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from typing import Any

import numpy as np
import pytest

from tests.certificates import of_cluster
from tests.workers.wire.transport.messages import numbered
from tests.workers.wire.transport.wires import FRAMED, TCP, TIMEOUT_S, UNIX, Node, Run, Wires, ids
from workers.errors import PeerDead
from workers.wire.mail import Frames, Mail
from workers.wire.transport.door import knock
from workers.wire.transport.frame import encode

# How a dialler begins on each wire, so that some garbage gets past the first look.
DOOR = b"PFH\x01" + bytes(32)
HTTP2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
NUM_FRAMES = 10_000
AT_ONCE = 50
LIMIT_BYTES = 4096


def sent(wire: Any, frame: bytes) -> None:
    """Past everything that looks at what is sent."""
    assert wire.send("b", [frame]) is None


async def one_more(wires: Wires, name: str, **options: Any) -> Node:
    node = Node(name, Mail(wires.wire(name, **options), Frames()))
    node.address = await node.mail.start(node.on_message, node.on_peer_dead)
    wires.nodes.append(node)
    return node


async def still_served(a: Node, b: Node, number: int) -> None:
    await a.send("b", numbered(number))
    assert ids(await b.received(1))[-1:] == [number]
    assert not a.deaths


def test_a_node_with_another_secret_is_refused_on_both_sides(run_framed: Run) -> None:
    async def scenario(wires: Wires) -> None:
        a, b = await wires.connected("a", "b")
        stranger = await one_more(wires, "stranger", token="theirs")
        await stranger.mail.connect({"b": b.address})
        with pytest.raises(PeerDead, match="another cluster: the secrets differ"):
            await stranger.send("b", numbered(1))
        with pytest.raises(PeerDead, match="knows no peer"):
            await b.send("stranger", numbered(1))
        refusing: Any = b.mail.transport
        assert (refusing.num_refused, "secrets differ" in refusing.last_refusal) == (1, True)
        await still_served(a, b, 2)

    run_framed(scenario)


def whole_frame() -> bytes:
    """One that any node of the cluster might send."""
    return encode(numbered(1, 8_000))


NO_FRAMES: dict[str, Callable[[], bytes]] = {
    "noise": lambda: b"\xff" * 100,
    "a beginning and noise": lambda: b"PF\x01\x00" + b"\xff" * 60,
    "a byte": lambda: b"\x00",
    "half a frame": lambda: whole_frame()[: len(whole_frame()) // 2],
    "a frame without its last byte": lambda: whole_frame()[:-1],
    "a frame and a half": lambda: whole_frame() + bytes(-len(whole_frame()) % 64) + b"PF\x01",
}


@pytest.mark.parametrize("name", NO_FRAMES)
def test_a_peer_whose_frames_are_none_is_lost_with_the_reason(run_framed: Run, name: str) -> None:
    async def scenario(wires: Wires) -> None:
        a, b, c = await wires.connected("a", "b", "c")
        sent(a.mail.transport, NO_FRAMES[name]())
        assert await b.heard_of_deaths(1) == ["a"]
        with pytest.raises(PeerDead, match=r"frame|bytes are left"):
            await b.send("a", numbered(1))
        await c.send("b", numbered(7))
        while ids(b.inbox)[-1:] != [7]:
            await b.received(len(b.inbox) + 1)
        assert not c.deaths

    run_framed(scenario)


def test_a_message_whose_checksum_fails_is_dropped_alone_and_counted(run_framed: Run) -> None:
    async def scenario(wires: Wires) -> None:
        a, b = await wires.connected("a", "b")
        broken = numbered(1)
        broken.checksum = 12345
        for message in (numbered(0), broken, numbered(2)):
            await a.send("b", message)
        assert ids(await b.received(2)) == [0, 2]
        assert b.mail.num_corrupt == 1
        assert not a.deaths

    run_framed(scenario)


def test_a_receiver_s_bug_ends_its_message_and_not_the_wire(run_framed: Run) -> None:
    async def scenario(wires: Wires) -> None:
        errors: list[str] = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: errors.append(context["message"]))
        a, b = await wires.connected("a", "b")
        there: Any = b.mail.transport
        taken = there._on_payload

        def on_payload(frame: Any) -> None:
            there._on_payload = taken  # the first one alone
            raise KeyError("a bug")

        there._on_payload = on_payload
        await a.send("b", numbered(0))
        await a.send("b", numbered(1))
        assert ids(await b.received(1)) == [1]
        assert errors == ["what node 'b' received ended in an error"]

    run_framed(scenario)


def bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on who receives takes less than who sends gives."""
    for wire in ("ucx_links", "shm_link"):
        with suppress(ImportError):  # UCX may not be installed
            module = import_module(f"workers.wire.transport.{wire}")
            monkeypatch.setattr(module, "MESSAGE_BYTES_MAX", LIMIT_BYTES)
    library = import_module("workers.wire.transport.grpc_library")
    for name in ("OPTIONS", "SERVER_OPTIONS"):
        options = {**dict(getattr(library, name)), "grpc.max_receive_message_length": LIMIT_BYTES}
        monkeypatch.setattr(library, name, tuple(options.items()))


@pytest.mark.parametrize("size", [5_000, 100_000, 1_000_000])
def test_a_peer_that_sends_too_much_at_once_is_lost(
    run_framed: Run, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    """Nothing is set aside for it, and the others are served."""
    bounded(monkeypatch)

    async def scenario(wires: Wires) -> None:
        a, b, c = await wires.connected("a", "b", "c")
        await a.send("b", numbered(0, size))
        assert await b.heard_of_deaths(1) == ["a"]
        assert await a.heard_of_deaths(1) == ["b"]
        await c.send("b", numbered(1))
        assert ids(await b.received(1)) == [1]
        assert not c.deaths

    run_framed(scenario)


async def say(address: str, data: bytes, tls: ssl.SSLContext | None) -> None:
    """A stranger that says just that, and waits until it is sent away."""
    with suppress(ConnectionError, ssl.SSLError):  # also before all was said
        if tls is None:
            reader, writer = await knock(address)
        else:
            host, _, port = address.rpartition(":")
            reader, writer = await asyncio.open_connection(
                host, int(port), ssl=tls, server_hostname=host
            )
        try:
            writer.write(data)
            if tls is None:
                writer.write_eof()
                await reader.read()
        finally:
            writer.close()
            with suppress(ConnectionError, ssl.SSLError):
                await writer.wait_closed()


def garbage() -> list[bytes]:
    """NUM_FRAMES of it; a third begin as a door's dialler does, a third as gRPC's."""
    rng = np.random.Generator(np.random.PCG64(11))
    begun = (DOOR, HTTP2, b"")
    return [begun[i % 3] + rng.bytes(int(rng.integers(0, 300))) for i in range(NUM_FRAMES)]


@pytest.mark.slow
@pytest.mark.parametrize("kind", [*TCP, *UNIX])
def test_ten_thousand_frames_of_garbage_disturb_nobody(kind: str) -> None:
    """Over as many connections, many at once; who is served stays served."""

    async def scenario() -> None:
        async with asyncio.timeout(TIMEOUT_S * 4), Wires(kind) as wires:
            a, b = await wires.connected("a", "b")
            frames = garbage()
            for i in range(0, NUM_FRAMES, AT_ONCE):
                said = (say(b.address, data, None) for data in frames[i : i + AT_ONCE])
                await asyncio.gather(*said)
                await a.send("b", numbered(i))
            assert len(await b.received(NUM_FRAMES // AT_ONCE)) == NUM_FRAMES // AT_ONCE
            if not kind.startswith("grpc"):  # it tells nobody who was no HTTP/2
                refusing: Any = b.mail.transport
                assert refusing.num_refused == NUM_FRAMES
            assert not a.deaths and not b.deaths

    asyncio.run(scenario())


def test_garbage_of_who_has_a_certificate_disturbs_nobody() -> None:
    """Past TLS, in the middle of gRPC."""

    async def scenario() -> None:
        async with asyncio.timeout(TIMEOUT_S * 2), Wires("grpc_tls") as wires:
            a, b = await wires.connected("a", "b")
            context = of_cluster().context(ssl.PROTOCOL_TLS_CLIENT)
            context.set_alpn_protocols(["h2"])
            frames = garbage()[:200]
            for i in range(0, len(frames), AT_ONCE):
                said = (say(b.address, data, context) for data in frames[i : i + AT_ONCE])
                await asyncio.gather(*said)
            await still_served(a, b, 1)
            assert not b.deaths

    asyncio.run(scenario())


@pytest.mark.parametrize("kind", FRAMED)
def test_a_secret_that_is_nearly_right_is_wrong(kind: str) -> None:
    """A byte less, a byte more, none at all."""
    secret = secrets.token_hex(8)

    async def scenario() -> None:
        async with asyncio.timeout(TIMEOUT_S), Wires(kind) as wires:
            b = await one_more(wires, "b", token=secret)
            for i, guess in enumerate((secret[:-1], f"{secret}0", "")):
                stranger = await one_more(wires, f"stranger-{i}", token=guess)
                await stranger.mail.connect({"b": b.address})
                with pytest.raises(PeerDead, match="the secrets differ"):
                    await stranger.send("b", numbered(1))
            a = await one_more(wires, "a", token=secret)
            await a.mail.connect({"b": b.address})
            await still_served(a, b, 1)

    asyncio.run(scenario())
