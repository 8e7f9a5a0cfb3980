"""The links of one node over gRPC: each a stream, dialled or accepted, with one reader and one
writer.
"""

import asyncio
import hmac
import logging
from collections.abc import Callable
from typing import Any

from configs.certificates import Certificates
from workers.errors import CorruptMessage
from workers.wire.transport import grpc_library as library
from workers.wire.transport.base import Buffer
from workers.wire.transport.dials import DIAL_BYTES
from workers.wire.transport.grpc_link import GrpcLink
from workers.wire.transport.limits import CONNECT_TIMEOUT_S
from workers.wire.transport.links import Links
from workers.wire.transport.tls import explain

log = logging.getLogger(__name__)

NODE, TOKEN, ADDRESS = "perfuse-node-bin", "perfuse-token-bin", "perfuse-address-bin"
DIAL = "perfuse-dial-bin"
NAME_BYTES_MAX = 1024  # of a node's name, and of its address


class GrpcLinks(Links[GrpcLink]):
    """on_packet      told of each packet of any link; raises CorruptMessage for what is none
    certificates   what this node shows to its peers, and whom it believes; None: no TLS
    """

    def __init__(
        self,
        node_name: str,
        token: bytes,
        outbox_bytes: int,
        on_lost: Callable[[str, str], None],
        on_packet: Callable[[Buffer], None],
        certificates: Certificates | None,
    ) -> None:
        super().__init__(node_name, outbox_bytes, on_lost)
        self.num_refused = 0
        self.last_refusal = ""
        self._token = token
        self._on_packet = on_packet
        self._certificates = certificates

    def _make(self, node: str, address: str, outbox_bytes: int) -> GrpcLink:
        return GrpcLink(node, address, outbox_bytes)

    async def _dial(self, link: GrpcLink) -> None:
        """Open a stream and read it until its end."""
        channel = library.open_channel(link.address, self._certificates)
        call: Any = None
        try:
            call = library.open_stream(channel, self._hello())
            reason = await self._welcome(link, call)
            if reason:
                self.lose(link, reason)
            elif link.stream is None and not link.outbox.ended:  # the peer's dial was not first
                self._begin(link, call, is_dialler=True)
                await self._read(link)
        finally:
            if link.stream is None or link.stream is call:  # also when the peer's gRPC cancelled it
                self.lose(link, "its stream was cancelled")
            await channel.close()

    async def _welcome(self, link: GrpcLink, call: Any) -> str:
        """Wait for the acceptor's answer.

        Returns why there will be no stream, or "": there is this call's, or the peer's.
        """
        try:
            answer = await asyncio.wait_for(call.initial_metadata(), CONNECT_TIMEOUT_S)
            said = dict(answer)
            found = said.get(NODE, b"").decode(errors="replace")
            if found == link.node:
                told = said.get(DIAL, b"")
                if len(told) != DIAL_BYTES:
                    return "it does not say what it has dialled"
                self.dials.heard(link.node, told)
                return ""
            if found:
                return f"{link.address!r} is the address of node {found!r}"
            if not await library.is_crossed(call):
                return await self._ending(link, call)
            await asyncio.wait_for(link.settled.wait(), CONNECT_TIMEOUT_S)  # the peer's own dial
            return ""
        except library.ENDS as error:
            return library.reason_of(error)
        except TimeoutError:
            return f"no answer from {link.address!r} within {CONNECT_TIMEOUT_S} s"

    async def _ending(self, link: GrpcLink, call: Any) -> str:
        """Why there was no answer; of TLS in words that name what is wrong."""
        reason = await library.ending(call)
        if await library.is_unreachable(call):
            wrong = await explain(link.address, self._certificates)
            reason = f"{link.address!r}: {wrong}" if wrong else reason
        return reason

    async def accept(self, _: Any, context: Any) -> None:
        """Serve one stream that a peer dialled, until its end."""
        hello = dict(context.invocation_metadata())
        if not hmac.compare_digest(hello.get(TOKEN, b""), self._token) or self.closed:
            await self._refuse(context, "this node is of another cluster: the secrets differ")
        node, address = _text(hello.get(NODE, b"")), _text(hello.get(ADDRESS, b""))
        told = hello.get(DIAL, b"")
        if not node or not address or len(told) != DIAL_BYTES:
            await self._refuse(
                context, "it does not say who it is, where it listens and which dial"
            )
        link = self.admit(node, address, told)
        if link is None:
            await library.cross(context)
            return
        await context.send_initial_metadata(
            ((NODE, self.node_name.encode()), (DIAL, self.dials.told()))
        )
        self._begin(link, context, is_dialler=False)
        link.tasks.append(asyncio.create_task(self._read(link)))
        try:
            await link.gone.wait()  # `close` sets it as well: then the stream ends with OK
        except asyncio.CancelledError:  # how gRPC says that the connection broke
            self.lose(link, "its connection broke")
            raise

    async def _refuse(self, context: Any, reason: str) -> None:
        """Raises: who dialled is none of ours."""
        self.num_refused += 1
        self.last_refusal = reason
        log.info("a stream from %s was refused: %s", context.peer(), reason)
        await library.refuse(context, reason)

    def _hello(self) -> library.Metadata:
        return (
            (NODE, self.node_name.encode()),
            (TOKEN, self._token),
            (ADDRESS, self.address.encode()),
            (DIAL, self.dials.told()),
        )

    def _begin(self, link: GrpcLink, stream: Any, *, is_dialler: bool) -> None:
        link.opened(stream, is_dialler=is_dialler)
        link.tasks.append(asyncio.create_task(self._write(link)))

    async def _write(self, link: GrpcLink) -> None:
        """The one writer of a stream."""
        try:
            while True:
                await link.stream.write(await link.outbox.take())
        except library.ENDS as error:
            self.lose(link, library.reason_of(error))

    async def _read(self, link: GrpcLink) -> None:
        """Deliver what arrives until the stream ends or breaks."""
        try:
            while (packet := await link.stream.read()) is not library.EOF:
                self._on_packet(packet)
            self.lose(link, f"node {link.node!r} closed")
        except (*library.ENDS, CorruptMessage) as error:
            self.lose(link, library.reason_of(error))


def _text(said: Any) -> str:
    """A name or an address; "" for what is none."""
    if not isinstance(said, bytes) or len(said) > NAME_BYTES_MAX:
        return ""
    try:
        return said.decode()
    except UnicodeDecodeError:
        return ""
