"""The wire for processes on one machine: memory that each two of them share.

Beside its door (`door_transport`), a unix socket, a node has nothing: for each link who dials makes
memory and bells and passes them over the stream on which both have proved themselves
(`shm_memory`). Frames cross two rings of bytes in it (`shm_link`, `kernels/ring`), one for each
direction, copied in once and out once.
"""

from pathlib import Path

from kernels.ring import hindrance
from workers.wire.transport.door import Door
from workers.wire.transport.door_transport import DoorTransport
from workers.wire.transport.limits import OUTBOX_BYTES
from workers.wire.transport.shm_link import ShmLink
from workers.wire.transport.shm_links import ShmLinks
from workers.wire.transport.shm_memory import RING_BYTES


class ShmTransport(DoorTransport[ShmLink]):
    """One node's door and links; belongs to the event loop that starts it.

    token       the secret of the cluster: who does not know it is refused
    folder      where a private temporary folder is made for the unix socket (who owns it clears up
                after a crash), which `close` removes; None: the system's
    outbox_bytes   bytes that may wait for one peer before `send` waits
    ring_bytes     of the memory of each direction, a power of two from 4096 to 2^30; the same in
                   all nodes
    """

    def __init__(
        self,
        node_name: str,
        *,
        token: str = "",
        folder: Path | None = None,
        outbox_bytes: int = OUTBOX_BYTES,
        ring_bytes: int = RING_BYTES,
    ) -> None:
        super().__init__(node_name)
        secret = token.encode()
        self._links = ShmLinks(
            node_name, secret, outbox_bytes, self._lost, self._arrived, ring_bytes
        )
        self._door = Door("", self._links.accept, unix=True, folder=folder)

    def _begin(self) -> None:
        if why := hindrance():
            raise OSError(f"node {self.node_name!r} has no shared memory: {why}")
