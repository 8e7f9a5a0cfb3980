"""The wire of the live worlds: one long-lived gRPC stream per pair of nodes.

Each node runs a server; whoever is told of a peer first dials it, and both directions share that
one stream (`grpc_links`, `grpc_link`). Each stream message is a packet of frames. What all wires
between processes do alike is in `linked`; the library is walled in by `grpc_library`.

    dialler                                            acceptor
    metadata: its node, token, address      ->         unknown token: UNAUTHENTICATED
                                                       has or dials a stream, has the smaller name:
                                                       ALREADY_EXISTS (of crossing dials one stands)
                                            <-         initial metadata: its node
    packets                                <->         packets
    half-close after a flush                ->         reports the peer as closed, returns
                                            <-         or: returns after a flush, status OK

Over TCP the cluster's certificates make it TLS in which each side proves to the other that it is of
the cluster, before any of this; who cannot is told why by `tls`. A unix socket needs none: it lies
in a folder of permission 0700, so that only this user's processes reach it, and they could read the
key as well.

A stream never comes back: when it breaks, the peer is dead until `connect` names it again or it
dials us.
"""

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from configs.certificates import Certificates
from workers.wire.transport import grpc_library as library
from workers.wire.transport.grpc_link import GrpcLink
from workers.wire.transport.grpc_links import GrpcLinks
from workers.wire.transport.limits import FLUSH_TIMEOUT_S, OUTBOX_BYTES
from workers.wire.transport.linked import LinkedTransport


class GrpcTransport(LinkedTransport[GrpcLink]):
    """One node's gRPC server and its streams; belongs to the event loop that starts it.

    host        address to listen on, where unix is False
    port        to listen on there; 0: the system chooses one
    unix        listen on a unix socket in a private temporary folder, which `close` removes
    folder      where that folder is made (who owns it clears up after a crash); None: the system's
    certificates   TLS in which both sides show one of the cluster's, where unix is False
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
        port: int = 0,
        certificates: Certificates | None = None,
        outbox_bytes: int = OUTBOX_BYTES,
    ) -> None:
        assert not (unix and certificates), "a unix socket has no TLS"
        super().__init__(node_name)
        self._links: GrpcLinks = GrpcLinks(
            node_name, token.encode(), outbox_bytes, self._lost, self._arrived, certificates
        )
        self._certificates = certificates
        self._unix, self._parent = unix, folder
        self._host, self._port = host, port
        self._folder = ""  # the private one, of the unix socket
        self._server: Any = None

    @property
    def num_refused(self) -> int:
        """Streams that were none of the cluster's, so far."""
        return self._links.num_refused

    @property
    def last_refusal(self) -> str:
        """Why the last of them was refused."""
        return self._links.last_refusal

    async def _listen(self) -> str:
        self._server = library.make_server(self._links.accept)
        if self._unix:
            self._folder = tempfile.mkdtemp(prefix="perfuse-", dir=self._parent)
        wanted = f"unix:{Path(self._folder) / 'wire'}" if self._unix else self._on(self._port)
        try:
            port = library.listen(self._server, wanted, self._certificates)
        except OSError as error:
            raise OSError(f"node {self.node_name!r} {error}") from error
        await self._server.start()
        if self._unix:
            os.chmod(wanted.removeprefix("unix:"), 0o600)
        return wanted if self._unix else self._on(port)

    def _on(self, port: int) -> str:
        return f"{self._host}:{port}"

    async def _shut(self) -> None:
        if self._server is not None:
            await self._server.stop(grace=FLUSH_TIMEOUT_S)
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)
