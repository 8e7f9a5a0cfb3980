"""The fast wire of the live worlds: UCX, over shared memory on one machine and TCP between them.

Beside its door (`door_transport`) each node has a UCX worker, whose address it introduces itself
with. Frames cross by UCX, each with the 8 random bytes that only this link's peer knows as its tag
(`ucx_links`, `ucx_link`).
"""

from pathlib import Path

from workers.wire.transport.base import Buffer
from workers.wire.transport.door import Door
from workers.wire.transport.door_transport import DoorTransport
from workers.wire.transport.limits import MESSAGE_BYTES_MAX, OUTBOX_BYTES
from workers.wire.transport.ucx_link import UcxLink
from workers.wire.transport.ucx_links import UcxLinks
from workers.wire.transport.ucx_worker import UcxWorker


class UcxTransport(DoorTransport[UcxLink]):
    """One node's door, worker and links; belongs to the event loop that starts it.

    token       the secret of the cluster: who does not know it is refused
    unix        all peers are on this machine: the door is a unix socket in a private temporary
                folder, which `close` removes, and frames cross shared memory alone
    folder      where that folder is made (who owns it clears up after a crash); None: the system's
    host        address to listen on, where unix is False
    port        of the door there; 0: the system chooses one, as it does for UCX's own
    segments    folder in shared memory where UCX makes its segments (each has a name for a moment,
                which a process that is killed just then leaves; who owns it clears up); None: UCX's
    devices     network devices that UCX may use, where unix is False
    apart       no peer is on this machine: frames cross the network alone
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
        segments: Path | None = None,
        devices: str = "lo",
        apart: bool = False,
        outbox_bytes: int = OUTBOX_BYTES,
    ) -> None:
        super().__init__(node_name)
        self._devices = "" if unix else devices
        self._segments, self._apart = segments, apart
        self._links: UcxLinks = UcxLinks(node_name, token.encode(), outbox_bytes, self._lost)
        self._door = Door(host, self._links.accept, unix=unix, folder=folder, port=port)
        self._worker: UcxWorker | None = None

    def _begin(self) -> None:
        links, arrived, oversized = self._links, self._came, self._oversized
        self._worker = UcxWorker(
            self._devices, links.limit_bytes, arrived, oversized, self._segments, self._apart
        )
        links.worker = self._worker

    def _end(self) -> None:
        if self._worker is not None:
            self._worker.close()

    def _came(self, tag: int, packet: Buffer) -> None:
        link = self._links.of_tag(tag)
        if link is not None:
            self._received(link, packet)

    def _oversized(self, tag: int, length: int) -> None:
        link = self._links.of_tag(tag)
        if link is not None:
            self._links.lose(link, f"it sent {length} bytes at once: at most {MESSAGE_BYTES_MAX}")
