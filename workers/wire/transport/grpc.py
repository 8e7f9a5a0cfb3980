"""The wire of the live worlds: one long-lived gRPC stream per pair of nodes.

This is the only file that knows gRPC.

Each node runs a server; whoever is told of a peer first dials it, and both directions share that
one stream. Bytes go in and come out (no serialisers, no generated stubs): each stream message is a
packet of frames.

    dialler                                            acceptor
    metadata: its node, token, address      ->         unknown token: UNAUTHENTICATED
                                                       has or dials a stream, has the smaller name:
                                                       ALREADY_EXISTS (of crossing dials one stands)
                                            <-         initial metadata: its node
    packets                                <->         packets
    half-close after a flush                ->         reports the peer as closed, returns
                                            <-         or: returns after a flush, status OK

A stream never comes back: when it breaks, the peer is dead until `connect` names it again or it
dials us.
"""

import asyncio
import hmac
import os
import shutil
import tempfile
from collections.abc import Awaitable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from workers.errors import CorruptMessage, PeerDead
from workers.wire.transport.base import Buffer, OnPayload, OnPeerDead, Payload
from workers.wire.transport.limits import (
    CONNECT_TIMEOUT_S,
    FLUSH_TIMEOUT_S,
    MESSAGE_BYTES_MAX,
    OUTBOX_BYTES,
)
from workers.wire.transport.outbox import Outbox
from workers.wire.transport.packet import unpack

# gRPC's older poller passes each event through fewer threads than its event engine: a sparse
# message costs 190 us of CPU (both ends) instead of 245, a round trip on loopback 300 us instead of
# 420 (`benchmarks/transport.py`). gRPC reads this once, when it is imported; whoever has set it, or
# has imported gRPC before, keeps what they have. It is taken back so that child processes (Ray has
# a gRPC of its own) do not inherit it.
_EXPERIMENTS = "GRPC_EXPERIMENTS"
_is_ours = _EXPERIMENTS not in os.environ
if _is_ours:
    os.environ[_EXPERIMENTS] = "-event_engine_client,-event_engine_listener"
import grpc  # noqa: E402
from grpc import aio  # noqa: E402

if _is_ours:
    del os.environ[_EXPERIMENTS]

SERVICE, METHOD = "perfuse.v1.Wire", "Exchange"
NODE, TOKEN, ADDRESS = "perfuse-node-bin", "perfuse-token-bin", "perfuse-address-bin"

# A peer that is silent for this long is pinged: finds machines that vanished without a reset.
KEEPALIVE_MS = 10_000

OPTIONS = (
    ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    ("grpc.keepalive_time_ms", KEEPALIVE_MS),
    ("grpc.keepalive_timeout_ms", KEEPALIVE_MS),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.http2.min_ping_interval_without_data_ms", KEEPALIVE_MS // 2),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", KEEPALIVE_MS // 2),
    # A new dial is a new connection, without the old one's back-off.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_http_proxy", 0),
    ("grpc.so_reuseport", 0),
)


class _Link:
    """One peer: its address, what waits to be sent to it, and the stream once there is one."""

    def __init__(self, node: str, address: str, outbox_bytes: int) -> None:
        self.node = node
        self.address = address
        self.outbox = Outbox(node, outbox_bytes)
        self.stream: Any = None  # grpc.aio's call or servicer context: both have read and write
        self.settled = asyncio.Event()  # it has a stream, or never will
        self.gone = asyncio.Event()
        self.tasks: list[asyncio.Task[None]] = []

    @property
    def up(self) -> bool:
        return self.stream is not None and not self.outbox.ended


class GrpcTransport:
    """One node's gRPC server and its streams; belongs to the event loop that starts it.

    host        address to listen on, where unix is False; the port is chosen by the system
    unix        listen on a unix socket in a private temporary folder, which `close` removes
    folder      where that folder is made (who owns it clears up after a crash); None: the system's
    token       what all nodes of one cluster know; others are refused
    outbox_bytes   bytes that may wait for one peer before `send` waits
    """

    def __init__(
        self,
        node_name: str,
        *,
        token: str = "",
        unix: bool = False,
        folder: Path | None = None,
        host: str = "127.0.0.1",
        outbox_bytes: int = OUTBOX_BYTES,
    ) -> None:
        self.node_name = node_name
        self._token = token.encode()
        self._unix = unix
        self._parent = folder
        self._host = host
        self._outbox_bytes = outbox_bytes
        self._folder = ""  # the private one, of the unix socket
        self._address = ""
        self._closed = False
        self._links: dict[str, _Link] = {}  # dead ones too, for their reason
        self._server: Any = None
        self._on_payload: OnPayload | None = None
        self._on_peer_dead: OnPeerDead | None = None

    async def start(self, on_payload: OnPayload, on_peer_dead: OnPeerDead) -> str:
        """Begin to receive; returns "host:port" or "unix:path".

        Raises OSError if it cannot listen.
        """
        self._on_payload, self._on_peer_dead = on_payload, on_peer_dead
        handler = grpc.stream_stream_rpc_method_handler(self._accept)
        self._server = aio.server(options=OPTIONS)
        self._server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(SERVICE, {METHOD: handler}),)
        )
        if self._unix:
            self._folder = tempfile.mkdtemp(prefix="perfuse-", dir=self._parent)
        wanted = f"unix:{Path(self._folder) / 'wire'}" if self._unix else f"{self._host}:0"
        try:
            port = self._server.add_insecure_port(wanted)
        except RuntimeError as error:
            raise OSError(
                f"node {self.node_name!r} cannot listen on {wanted!r}: {error}"
            ) from error
        await self._server.start()
        self._address = wanted if self._unix else f"{self._host}:{port}"
        return self._address

    async def connect(self, addresses: Mapping[str, str]) -> None:
        """Dial the peers that have no stream; returns when each has one or is unreachable.

        An unreachable peer raises nothing here: a later `send` to it raises PeerDead with the
        reason.
        """
        links = []
        for node, address in addresses.items():
            if node == self.node_name:
                continue
            link = self._links.get(node)
            if link is not None and link.address == address and not link.outbox.ended:
                links.append(link)
                continue
            if link is not None:
                self._lose(link, f"it moved to {address!r}", report=False)
            link = self._links[node] = _Link(node, address, self._outbox_bytes)
            link.tasks.append(asyncio.create_task(self._dial(link)))
            links.append(link)
        for link in links:
            await link.settled.wait()

    def send(self, node: str, payload: Payload) -> Awaitable[None] | None:
        """Queue a frame's parts for the node; to be awaited while the queue is full.

        Raises PeerDead if the node is unknown or gone, ValueError if the frame is longer than
        MESSAGE_BYTES_MAX.
        """
        link = self._links.get(node)
        if link is None or self._closed:
            what = "is closed" if self._closed else f"knows no peer {node!r}: connect to it first"
            raise PeerDead(f"node {self.node_name!r} {what}", node=node)
        frame = b"".join(payload)  # the one copy
        if len(frame) > MESSAGE_BYTES_MAX:
            raise ValueError(
                f"a message for {node!r} takes {len(frame)} bytes: at most {MESSAGE_BYTES_MAX} can "
                "be sent, so send it in parts"
            )
        if link.outbox.must_wait():
            return _in_turn(link.outbox, frame)
        link.outbox.put(frame)
        return None

    def queued_bytes(self, node: str) -> int:
        """Bytes that wait for the node, without those being written."""
        link = self._links.get(node)
        return 0 if link is None else link.outbox.num_bytes

    async def close(self) -> None:
        """Give what is queued FLUSH_TIMEOUT_S to leave, then end all streams and the server."""
        if self._closed:
            return
        self._closed = True
        links = list(self._links.values())
        with suppress(TimeoutError):  # the bound on flushing: what is left is dropped
            flushes = asyncio.gather(*(self._finish(link) for link in links))
            await asyncio.wait_for(flushes, FLUSH_TIMEOUT_S)
        tasks = [task for link in links for task in link.tasks]
        for link in links:
            self._lose(link, "this node closed", report=False)
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._server is not None:
            await self._server.stop(grace=FLUSH_TIMEOUT_S)
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)

    async def _finish(self, link: _Link) -> None:
        """Flush, half-close the stream, and wait until the peer has read that far."""
        if link.up:
            await link.outbox.flushed()
        if link.up and isinstance(link.stream, aio.StreamStreamCall):
            await link.stream.done_writing()
            await link.gone.wait()

    async def _dial(self, link: _Link) -> None:
        """Open a stream and read it until its end."""
        channel = aio.insecure_channel(link.address, options=OPTIONS)
        call: Any = None
        try:
            call = channel.stream_stream(f"/{SERVICE}/{METHOD}")(metadata=self._hello())
            reason = await self._welcome(link, call)
            if reason:
                self._lose(link, reason)
            elif link.stream is None and not link.outbox.ended:  # the peer's dial was not first
                self._begin(link, call)
                await self._read(link)
        finally:
            if link.stream is None or link.stream is call:  # also when the peer's gRPC cancelled it
                self._lose(link, "its stream was cancelled")
            await channel.close()

    async def _welcome(self, link: _Link, call: Any) -> str:
        """Wait for the acceptor's answer.

        Returns why there will be no stream, or "": there is this call's, or the peer's.
        """
        try:
            answer = await asyncio.wait_for(call.initial_metadata(), CONNECT_TIMEOUT_S)
            found = dict(answer).get(NODE, b"").decode()
            if found == link.node:
                return ""
            if found:
                return f"{link.address!r} is the address of node {found!r}"
            if await call.code() is not grpc.StatusCode.ALREADY_EXISTS:
                return f"{await call.code()}: {await call.details()}"
            await asyncio.wait_for(link.settled.wait(), CONNECT_TIMEOUT_S)  # the peer's own dial
            return ""
        except aio.AioRpcError as error:
            return _reason(error)
        except TimeoutError:
            return f"no answer from {link.address!r} within {CONNECT_TIMEOUT_S} s"

    async def _accept(self, _: Any, context: Any) -> None:
        """Serve one stream that a peer dialled, until its end."""
        hello = dict(context.invocation_metadata())
        if not hmac.compare_digest(hello.get(TOKEN, b""), self._token) or self._closed:
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "this node is of another cluster")
        node, address = hello[NODE].decode(), hello[ADDRESS].decode()
        link = self._links.get(node)
        if link is not None and not link.outbox.ended:
            same = link.address == address
            if same and self.node_name < node:
                await context.abort(grpc.StatusCode.ALREADY_EXISTS, "the acceptor's stream stands")
            if not same or link.up:
                self._lose(link, f"it dialled again, from {address!r}")
        if link is None or link.outbox.ended:
            link = self._links[node] = _Link(node, address, self._outbox_bytes)
        await context.send_initial_metadata(((NODE, self.node_name.encode()),))
        self._begin(link, context)
        reader = asyncio.create_task(self._read(link))
        link.tasks.append(reader)
        try:
            await link.gone.wait()  # `close` sets it as well: then the stream ends with OK
        except asyncio.CancelledError:  # how gRPC says that the connection broke
            self._lose(link, "its connection broke")
            raise

    def _hello(self) -> tuple[tuple[str, bytes], ...]:
        return (
            (NODE, self.node_name.encode()),
            (TOKEN, self._token),
            (ADDRESS, self._address.encode()),
        )

    def _begin(self, link: _Link, stream: Any) -> None:
        link.stream = stream
        link.tasks.append(asyncio.create_task(self._write(link)))
        link.settled.set()

    async def _write(self, link: _Link) -> None:
        """The one writer of a stream."""
        try:
            while True:
                await link.stream.write(await link.outbox.take())
        except (aio.AioRpcError, aio.BaseError, asyncio.InvalidStateError) as error:
            self._lose(link, _reason(error))

    async def _read(self, link: _Link) -> None:
        """Deliver what arrives until the stream ends or breaks."""
        try:
            while (packet := await link.stream.read()) is not aio.EOF:
                for frame in unpack(packet):
                    self._deliver(frame)
            self._lose(link, f"node {link.node!r} closed")
        except (aio.AioRpcError, aio.BaseError, asyncio.InvalidStateError, CorruptMessage) as error:
            self._lose(link, _reason(error))

    def _deliver(self, frame: Buffer) -> None:
        assert self._on_payload is not None, "streams begin after start"
        try:
            self._on_payload(frame)
        except Exception as error:  # a receiver's bug ends its message, not the wire
            what = f"what node {self.node_name!r} received ended in an error"
            context = {"message": what, "exception": error}
            asyncio.get_running_loop().call_exception_handler(context)

    def _lose(self, link: _Link, reason: str, *, report: bool = True) -> None:
        """End a link for good; reports it if it was connected, or if messages are lost with it."""
        if link.outbox.ended:
            return
        was_up = link.up
        dropped = link.outbox.end(reason)
        link.settled.set()
        link.gone.set()
        current = asyncio.current_task()
        for task in link.tasks:
            if task is not current:
                task.cancel()
        if report and not self._closed and (was_up or dropped):
            assert self._on_peer_dead is not None, "streams begin after start"
            self._on_peer_dead(link.node, reason)


async def _in_turn(outbox: Outbox, frame: bytes) -> None:
    await outbox.room()
    outbox.put(frame)


def _reason(error: Exception) -> str:
    """gRPC's errors as a reason for on_peer_dead and PeerDead: the one place of translation."""
    if isinstance(error, aio.AioRpcError):
        return f"{error.code().name}: {error.details()}"
    return f"{type(error).__name__}: {error}"
