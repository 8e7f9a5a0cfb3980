"""Two ends convince each other, or each says what is wrong: on streams of this process alone."""

import asyncio
import struct
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import cast

import pytest

from workers.wire.transport import handshake
from workers.wire.transport.handshake import (
    GO,
    MAGIC,
    OPENING,
    VERSION,
    Crossed,
    HandshakeError,
    Introduction,
    dial,
    hear,
)

A = Introduction("a", "unix:/a", b"tag of a", b"worker a", bytes(16))
B = Introduction("b", "127.0.0.1:7", b"tag of b", b"worker b", bytes(15) + b"\x01")
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Acceptor = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[object]]


async def meet(acceptor: Acceptor, dialler: Acceptor) -> tuple[object, object]:
    """What each end returned or raised."""
    ended: asyncio.Future[object] = asyncio.get_running_loop().create_future()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            ended.set_result(await acceptor(reader, writer))
        except (HandshakeError, asyncio.IncompleteReadError) as error:
            if isinstance(error, HandshakeError):
                handshake.refuse(writer, str(error))
            ended.set_result(error)
        finally:
            writer.close()

    async with asyncio.timeout(10):
        server = await asyncio.start_server(accept, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname()[:2])
        try:
            found: object = await dialler(reader, writer)
        except (HandshakeError, Crossed, asyncio.IncompleteReadError) as error:
            found = error
        writer.close()
        heard = await ended
        server.close()
        await asyncio.sleep(0)
    return heard, found


def accepting(secret: bytes, who: Introduction = B) -> Acceptor:
    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> object:
        peer, welcome = await hear(reader, writer, secret)
        welcome(who)
        await reader.readexactly(len(GO))
        return peer

    return accept


def dialling(secret: bytes, who: Introduction = A) -> Acceptor:
    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> object:
        peer = await dial(reader, writer, secret, who)
        writer.write(GO)
        return peer

    return connect


def sending(data: bytes) -> Acceptor:
    """A stranger that says just that; returns what it hears."""

    async def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> object:
        writer.write(data)
        writer.write_eof()
        return await reader.read()

    return say


def test_those_who_share_a_secret_learn_of_each_other() -> None:
    assert asyncio.run(meet(accepting(b"s"), dialling(b"s"))) == (A, B)


def test_a_dialler_with_another_secret_is_refused_and_told() -> None:
    heard, found = asyncio.run(meet(accepting(b"ours"), dialling(b"theirs")))
    for error in (heard, found):
        assert isinstance(error, HandshakeError) and "the secrets differ" in str(error)


def test_an_acceptor_that_does_not_know_the_secret_is_not_trusted() -> None:
    """It may welcome whom it likes: it cannot prove that it is one of us."""

    async def pretend(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(OPENING.pack(MAGIC, VERSION, bytes(32)))
        await reader.readexactly(OPENING.size)
        said = B.encode()
        writer.write(struct.pack("<BH", handshake.WELCOME, len(said)) + said + bytes(32))
        await reader.read()

    _, found = asyncio.run(meet(pretend, dialling(b"s")))
    assert isinstance(found, HandshakeError) and "does not know the secret" in str(found)


def test_a_proof_that_is_sent_back_proves_nothing() -> None:
    """An acceptor that repeats the dialler's own words and proof is not one of us."""

    async def mirror(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(OPENING.pack(MAGIC, VERSION, bytes(32)))
        await reader.readexactly(OPENING.size)
        (length,) = struct.unpack("<H", await reader.readexactly(2))
        said, proof = await reader.readexactly(length), await reader.readexactly(32)
        writer.write(struct.pack("<BH", handshake.WELCOME, length) + said + proof)
        await reader.read()

    _, found = asyncio.run(meet(mirror, dialling(b"s")))
    assert isinstance(found, HandshakeError) and "does not know the secret" in str(found)


def test_a_proof_that_was_overheard_proves_nothing_later() -> None:
    overheard = bytearray()

    class Tapped:
        """Of a writer all that the handshake uses."""

        def __init__(self, writer: asyncio.StreamWriter) -> None:
            self._writer = writer

        def write(self, data: bytes) -> None:
            overheard.extend(data)
            self._writer.write(data)

    async def tapped(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> object:
        return await dialling(b"s")(reader, cast(asyncio.StreamWriter, Tapped(writer)))

    assert asyncio.run(meet(accepting(b"s"), tapped)) == (A, B)
    heard, _ = asyncio.run(meet(accepting(b"s"), sending(bytes(overheard))))
    assert isinstance(heard, HandshakeError) and "the secrets differ" in str(heard)


@pytest.mark.parametrize("side", ["acceptor", "dialler"])
def test_another_version_is_named_on_the_side_that_meets_it(side: str) -> None:
    later = OPENING.pack(MAGIC, VERSION + 1, bytes(32))
    if side == "acceptor":
        found, _ = asyncio.run(meet(accepting(b"s"), sending(later)))
    else:
        _, found = asyncio.run(meet(sending(later), dialling(b"s")))
    assert isinstance(found, HandshakeError)
    assert f"version {VERSION + 1} of the wire: this node speaks {VERSION}" in str(found)


def test_another_protocol_is_named() -> None:
    heard, _ = asyncio.run(meet(accepting(b"s"), sending(b"GET / HTTP/1.1\r\n" + bytes(40))))
    assert isinstance(heard, HandshakeError) and "begins with b'GET'" in str(heard)


def test_an_introduction_that_is_too_long_is_not_read() -> None:
    opening = OPENING.pack(MAGIC, VERSION, bytes(32))
    heard, _ = asyncio.run(meet(accepting(b"s"), sending(opening + b"\xff\xff" + bytes(100))))
    assert isinstance(heard, HandshakeError) and "65535 bytes: at most" in str(heard)


@pytest.mark.parametrize("length", [0, 1, OPENING.size, OPENING.size + 1, OPENING.size + 40])
def test_a_stream_that_is_cut_short_ends_there(length: int) -> None:
    whole = OPENING.pack(MAGIC, VERSION, bytes(32)) + b"\x40\x00" + bytes(96)
    heard, _ = asyncio.run(meet(accepting(b"s"), sending(whole[:length])))
    assert isinstance(heard, asyncio.IncompleteReadError)


def test_who_is_told_that_dials_crossed_knows_it() -> None:
    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await hear(reader, writer, b"s")
        handshake.cross(writer)
        await reader.read()

    _, found = asyncio.run(meet(accept, dialling(b"s")))
    assert isinstance(found, Crossed)


@pytest.mark.parametrize("who", [A, B, replace(A, node="ßü" * 900, worker=bytes(range(256)) * 4)])
def test_an_introduction_survives_the_wire(who: Introduction) -> None:
    assert Introduction.decode(who.encode()) == who


@pytest.mark.parametrize(
    "said",
    [
        b"",
        A.encode()[:-1],
        A.encode() + b"\x00",
        replace(A, node="").encode(),
        replace(A, tag=b"short").encode(),
        b"\x01\x00\xff" + A.encode()[3:],
        b"\xff\xff" + A.encode(),
    ],
)
def test_a_malformed_introduction_is_refused(said: bytes) -> None:
    with pytest.raises(HandshakeError, match="malformed"):
        Introduction.decode(said)
