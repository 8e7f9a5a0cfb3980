"""TLS by the cluster's certificates: who has none of them is refused on both sides, and told why;
the cluster goes on.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from configs.certificates import Certificates
from tests.certificates import made_apart, of_cluster, signed_by_ours, unchecked, with_our_authority
from tests.workers.wire.transport.making import TOKEN
from tests.workers.wire.transport.messages import numbered
from tests.workers.wire.transport.wires import TIMEOUT_S, Node, Wires
from workers.errors import PeerDead
from workers.wire.mail import Frames, Mail
from workers.wire.transport.grpc import GrpcTransport

Made = Callable[[Path], Certificates | None]

# A stranger's certificates; what it reads when it dials the cluster, and what the cluster's node
# reads that dials it.
STRANGERS: dict[str, tuple[Made, str, str]] = {
    "no certificate": (
        lambda folder: None,
        "asks for a certificate of its cluster, and this node has none",
        "speaks no TLS",
    ),
    "another cluster": (
        lambda folder: unchecked(made_apart(folder)),
        "its certificate is refused here: it was not signed by this cluster's authority",
        "its certificate is refused here: it was not signed by this cluster's authority",
    ),
    "another cluster that believes ours": (
        lambda folder: unchecked(with_our_authority(made_apart(folder))),
        "refuses the certificate of",
        "its certificate is refused here: it was not signed by this cluster's authority",
    ),
    "expired": (
        lambda folder: unchecked(signed_by_ours(folder, days=-1)),
        "refuses the certificate of",
        "its certificate is refused here: certificate has expired",
    ),
    "a name that is another's": (
        lambda folder: unchecked(signed_by_ours(folder, names="DNS:elsewhere.lab")),
        "",  # a server does not look at names: it is of the cluster
        "not valid for '127.0.0.1'",
    ),
}


async def stranger_with(wires: Wires, certificates: Certificates | None) -> Node:
    """One that even knows the secret."""
    node = Node(
        "stranger",
        Mail(GrpcTransport("stranger", token=TOKEN, certificates=certificates), Frames()),
    )
    node.address = await node.mail.start(node.on_message, node.on_peer_dead)
    wires.nodes.append(node)
    return node


@pytest.mark.parametrize("name", STRANGERS)
def test_a_stranger_is_refused_both_ways_and_told_why(tmp_path: Path, name: str) -> None:
    made, dialling, dialled = STRANGERS[name]

    async def scenario() -> None:
        async with asyncio.timeout(TIMEOUT_S), Wires("grpc_tls") as wires:
            a, b = await wires.connected("a", "b")
            stranger = await stranger_with(wires, made(tmp_path / "theirs"))
            await stranger.mail.connect({"b": b.address})
            if dialling:
                with pytest.raises(PeerDead) as told:
                    await stranger.send("b", numbered(1))
                assert dialling in str(told.value)
                assert "'b'" in str(told.value) and b.address in str(told.value)
            await a.mail.connect({"stranger": stranger.address})
            with pytest.raises(PeerDead) as told:
                await a.send("stranger", numbered(2))
            assert dialled in str(told.value)
            assert "'stranger'" in str(told.value) and stranger.address in str(told.value)
            await a.send("b", numbered(3))
            assert [m.message_id for m in await b.received(1)] == [3]
            assert not a.deaths and not b.deaths and not stranger.inbox

    asyncio.run(scenario())


@pytest.mark.parametrize(("kind", "readable"), [("grpc_tcp", True), ("grpc_tls", False)])
def test_who_listens_in_between_reads_nothing(kind: str, readable: bool) -> None:
    """Neither a message nor the secret; without TLS both."""
    seen: list[bytes] = []

    async def scenario() -> None:
        async with asyncio.timeout(TIMEOUT_S), Wires(kind) as wires:
            a, b = await wires.start("a", "b")
            between = await asyncio.start_server(
                lambda *ends: relay(b.address, seen, *ends), "127.0.0.1", 0
            )
            await a.mail.connect({"b": f"127.0.0.1:{between.sockets[0].getsockname()[1]}"})
            sent = numbered(1, 4_000)
            sent.request_id = "a-word-that-is-seen"
            await a.send("b", sent)
            await b.received(1)
            between.close()

    asyncio.run(scenario())
    assert sum(map(len, seen)) > 4_000
    assert any(b"a-word-that-is-seen" in data for data in seen) == readable


async def relay(
    address: str, seen: list[bytes], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    host, _, port = address.rpartition(":")
    there, back = await asyncio.open_connection(host, int(port))

    async def pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        while data := await source.read(65_536):
            seen.append(data)
            target.write(data)
        target.close()

    await asyncio.gather(pump(reader, back), pump(there, writer), return_exceptions=True)


def test_a_unix_socket_takes_none() -> None:
    with pytest.raises(AssertionError, match="unix socket has no TLS"):
        GrpcTransport("a", unix=True, certificates=of_cluster())
