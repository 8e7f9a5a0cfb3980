"""The wire for processes on one machine: memory that each two of them share.

Beside its door (`door_transport`), a unix socket, a node has nothing: for each link who dials makes
memory and bells and passes them over the stream on which both have proved themselves
(`shm_memory`). Frames cross two rings of bytes in it (`shm_link`, `kernels/ring`), one for each
direction: gathered, copied in and copied out.

Two processes on 2 cores under a load of 2, medians: a round trip of 4 KiB takes 51 us, where UCX
over shared memory takes 125 and gRPC 201; CPU of both ends 62, 142 and 234 us. The rings' calls are
2 us of that, the rest is two turns of asyncio and two processes that are woken: without event loops
it is 5 us (`benchmarks/wires/native_wait.py`).

Parts are joined before they are written. Each written by a call of its own took 2 us more up to
64 KiB, and saved 5 to 14 us of 60 to 78 at 150 to 200 KB; what is longer than the ring needs a copy
anyway, for senders do not wait.
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
            node_name, secret, outbox_bytes, self._lost, self._received, ring_bytes
        )
        self._door = Door("", self._links.accept, unix=True, folder=folder)

    def _begin(self) -> None:
        if why := hindrance():
            raise OSError(f"node {self.node_name!r} has no shared memory: {why}")
