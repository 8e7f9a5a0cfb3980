"""One peer over shared memory: a ring to write, one to read, and a bell that the loop waits for.

Who has read all that is there says so in the memory, and sleeps with the event loop until its bell
rings; a writer pays for a system call only then. A packet that finds no room goes on when the bell
says that half of the ring is free.
"""

import asyncio
import os
from collections.abc import Callable

from kernels.ring import Ring, nonsense
from workers.wire.transport.base import Buffer
from workers.wire.transport.door_link import DoorLink, OnLost
from workers.wire.transport.limits import MESSAGE_BYTES_MAX
from workers.wire.transport.received import memory
from workers.wire.transport.shm_memory import Shared

# Then the event loop's other callbacks get their turn.
BYTES_A_TURN = 4 * 1024 * 1024
PACKETS_A_TURN = 64


class ShmLink(DoorLink):
    """on_packet   told of each packet that came whole"""

    def __init__(
        self,
        node: str,
        address: str,
        outbox_bytes: int,
        on_packet: Callable[["ShmLink", Buffer], None],
    ) -> None:
        super().__init__(node, address, outbox_bytes)
        self._on_packet = on_packet
        self._ring: Ring | None = None
        self._bell = -1
        self._again: asyncio.Handle | None = None
        # The packet that is being written, and how much of it is; the same of the one that comes.
        self._out, self._num_out = b"", 0
        self._in: Buffer = b""
        self._num_in = 0

    def open(
        self, ring_bytes: int, shared: Shared, stream: asyncio.StreamWriter, on_lost: OnLost
    ) -> None:
        """Begin to send and to receive. The files stay the caller's. Raises OSError where there is
        no memory or no descriptor left.
        """
        self._bell = os.dup(shared.own_bell)
        try:
            self._ring = Ring(
                shared.file,
                ring_bytes,
                side=shared.side,
                own_bell=shared.own_bell,
                other_bell=shared.other_bell,
                record_bytes_max=MESSAGE_BYTES_MAX,
            )
        except ValueError as error:
            raise OSError(f"its memory cannot be mapped: {error}") from error
        loop = asyncio.get_running_loop()
        loop.add_reader(self._bell, self._rung)
        self._again = loop.call_soon(self._turn)
        self.opened(stream, on_lost)

    def _let_go(self) -> None:
        if self._bell >= 0:
            asyncio.get_running_loop().remove_reader(self._bell)
            os.close(self._bell)
            self._bell = -1
        if self._again is not None:
            self._again.cancel()
        if self._ring is not None:
            self._ring.close()
            self._ring = None
        self._out = self._in = b""

    def _rung(self) -> None:
        """There is something to read, or room to write."""
        assert self._ring is not None, "the bell is watched while there is a ring"
        self._ring.awake()
        self._turn()

    def _turn(self) -> None:
        """Do all that can be done now, then sleep."""
        if self._again is not None:  # the bell came before it
            self._again.cancel()
            self._again = None
        if self._is_writing:
            self._go_on()
        num_bytes = num_packets = 0
        while (ring := self._ring) is not None:
            if num_bytes >= BYTES_A_TURN or num_packets >= PACKETS_A_TURN:
                self._again = asyncio.get_running_loop().call_soon(self._turn)
                return
            length = ring.next()
            if length <= 0:
                if length < 0:
                    self._on_lost(nonsense(length))
                return
            taken = self._take(ring, length)
            num_bytes += taken
            num_packets += 1

    def _take(self, ring: Ring, length: int) -> int:
        """Take what is there of a packet, of which so much is still to come; returns how much."""
        if not self._num_in:
            self._in = memory(length)
        taken: int = ring.read(self._in, self._num_in)
        if taken < 0:
            self._on_lost(nonsense(taken))
        elif taken < length:
            self._num_in += taken
        else:
            packet, self._in, self._num_in = self._in, b"", 0
            self._on_packet(self, packet)
        return taken

    def _write(self, packet: bytes) -> None:
        self._out, self._num_out = packet, 0
        self._go_on()

    def _go_on(self) -> None:
        """Write what is left of a packet, or as much as there is room for."""
        assert self._ring is not None, "a link that is up has a ring"
        was_full, packet = self._is_writing, self._out
        taken = self._ring.write(packet, self._num_out, len(packet))
        if taken < 0:
            self._on_lost(nonsense(taken))
            return
        self._num_out += taken
        self._is_writing = self._num_out < len(packet)
        if not self._is_writing:
            self._out = b""
            if was_full:
                self._written()
