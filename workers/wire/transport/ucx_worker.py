"""A UCX worker that is driven by the event loop: it sleeps in epoll with all else that is waited
for, and nothing polls.

A turn goes on until nothing is left to do and UCX agrees to be armed, which is its own protocol:
progress until none, arm, sleep until the descriptor is readable. So no message can lie unseen, and
no timer has to look for it. ucxx's own ways were measured beside it and left: 3,000 to 5,000 round
trips of 4 KiB between two processes on 2 cores, under a load of 13 to 16:

    | p50, p99.9, longest           | CPU of one process, a round trip
    | 0.13 ms, 5.6 ms, 6.0 ms       | 79 us      here
    | 4.0 ms, 39 ms, 48 ms          | 1,850 us   blocking
    | 2.0 ms, 23 ms, 61 ms          | 1,160 us   polling
    | 1.3 ms, 23 ms, 41 ms          | 790 us     a thread

Its stalls near 50 ms come from how a request is awaited, in blocking mode as in the others: by
`asyncio.sleep(0)` until it is done. Both ends burn their cores, use up the time that the scheduler
gives them (some 4 ms), and then wait behind everything else that is runnable. Who sleeps has that
time left, and is let in at once when it is woken. (Blocking mode also arms the worker once, not
again after an event; what comes later is found by the spinning, or by a timer of 1 s.)

What remains: each call into ucxx lets go of Python's lock. Where another thread computes in Python
every call may wait `sys.getswitchinterval()` for it: 200 round trips beside one that never rests
took at most 23 ms. And a round trip is some twenty calls, which take 11 us on each side when they
follow each other, 30 us after a sleep and 75 us when the caches have been used by others: UCX
itself, asleep in between as here (`ucx_perftest -E sleep`), needed 7 to 13 us of the 100 us.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from workers.wire.transport.base import Buffer
from workers.wire.transport.received import memory
from workers.wire.transport.ucx_library import CONFIG, NETWORK, SHARED_MEMORY, library

# What arrives for one tag: how much it may be at once, the bytes, or how many there would be.
Limit = Callable[[int], int]
OnBytes = Callable[[int, Buffer], None]
OnOversized = Callable[[int, int], None]
OnDone = Callable[[str], None]  # "", or why not

MESSAGES_A_TURN = 64  # then the event loop's other callbacks get their turn
TRIES = 4  # of arming: what arrived meanwhile is usually all
FRUITLESS_TURNS = 50  # of them follow each other at once; then one a millisecond
NAP_S = 0.001  # asyncio's finest


class UcxError(OSError):
    """UCX says that a connection broke or could not be made: the one place of translation."""


class UcxWorker:
    """One node's end of all its links. Belongs to the event loop in which it is made.

    devices       network devices that UCX may use (TCP, and shared memory where it reaches), as
                  names separated by commas; "": shared memory alone, and no port is opened
    limit         of a tag that nobody was told 0: nothing is set aside for what has it
    on_oversized  told of what was thrown away for that
    segments      where its shared memory has its names, for as long as it has any; None: UCX's way
    apart         no peer is on this machine: no shared memory

    Raises OSError if UCX cannot start.
    """

    def __init__(
        self,
        devices: str,
        limit: Limit,
        on_bytes: OnBytes,
        on_oversized: OnOversized,
        segments: Path | None = None,
        apart: bool = False,
    ) -> None:
        ucx = self._ucx = library()
        self._of_any = ucx.Tag(0), ucx.TagMask(0)
        shape = dict(SHARED_MEMORY)
        if devices:
            # Which scheme long messages take is left to UCX: TCP does not have that one.
            ways = NETWORK if apart else f"tcp,{shape['TLS']}"
            shape = {"TLS": ways, "NET_DEVICES": devices}
        if segments is not None:
            shape["POSIX_DIR"] = str(segments)
        features = (ucx.Feature.TAG, ucx.Feature.WAKEUP)
        try:
            context = ucx.UCXContext({**CONFIG, **shape}, features)
            worker = ucx.UCXWorker(
                context, enable_delayed_submission=False, enable_python_future=False
            )
            worker.init_blocking_progress_mode()
        except ucx.UCXError as error:
            raise OSError(f"UCX cannot start on devices {devices!r}: {error}") from error
        self.address = bytes(memoryview(worker.address))
        self._worker: Any = worker
        self._limit, self._on_bytes, self._on_oversized = limit, on_bytes, on_oversized
        # What is still coming in, and what came after it on the same link: tag -> in order.
        self._coming: dict[int, deque[tuple[Any, Buffer]]] = {}
        # What UCX still reads from, or still closes: (request, what it needs, whom to tell).
        self._pending: list[tuple[Any, Any, OnDone | None]] = []
        self._again: asyncio.Handle | None = None
        self._num_fruitless = 0
        self._loop = asyncio.get_running_loop()
        self._descriptor = worker.epoll_file_descriptor
        self._loop.add_reader(self._descriptor, self.turn)
        self._soon()

    # -- links -------------------------------------------------------------------------------------

    def connect(self, address: bytes, on_broken: Callable[[], None]) -> Any:
        """The way to the worker at an address. Raises UcxError for one that leads nowhere."""
        try:
            known = self._ucx.UCXAddress.create_from_buffer(address)
            endpoint = self._ucx.UCXEndpoint.create_from_worker_address(self._worker, known, True)
        except (self._ucx.UCXError, ValueError) as error:
            raise UcxError(f"{type(error).__name__}: {error}") from error
        # UCX tells from within `progress`, where nothing may be closed.
        endpoint.set_close_callback(self._loop.call_soon_threadsafe, (on_broken,))
        self._soon()
        return endpoint

    def send(self, endpoint: Any, tag: Any, packet: bytes, on_sent: OnDone) -> bool:
        """Hand UCX a packet; returns whether it is done with it, else tells `on_sent` later.

        Raises UcxError if the connection is broken.
        """
        try:
            request = endpoint.tag_send(self._ucx.Array(packet), tag)
            if request.completed:
                request.check_error()
                return True
        except self._ucx.UCXError as error:
            raise UcxError(f"{type(error).__name__}: {error}") from error
        self._pending.append((request, packet, on_sent))
        self._soon()
        return False

    def disconnect(self, endpoint: Any) -> None:
        """End a way at once; what UCX has not sent yet fails."""
        endpoint.remove_close_callback()
        if endpoint.alive:  # of one that broke ucxx gives a request that is none, and looks at it
            try:
                self._pending.append((endpoint.close(), endpoint, None))
            except self._ucx.UCXError:
                return  # it broke just now
            self._soon()

    def close(self) -> None:
        """Let go of all; safe to call twice."""
        worker, self._worker = self._worker, None
        if worker is None:
            return
        self._loop.remove_reader(self._descriptor)
        if self._again is not None:
            self._again.cancel()
        for _ in range(100):  # closing by force needs a turn or two, whatever the peers do
            if all(request.completed for request, _, _ in self._pending):
                break
            worker.progress()
        self._pending.clear()
        self._coming.clear()
        worker.cancel_inflight_requests()

    # -- progress ----------------------------------------------------------------------------------

    def turn(self) -> None:
        """Do all that can be done now, then sleep."""
        if self._again is not None:
            self._again.cancel()
            self._again = None
        num_done = 0
        for _ in range(TRIES):
            if self._worker is None:  # closed by what was delivered
                return
            self._worker.progress()
            num_taken = self._receive()
            num_done += num_taken + (self._settle() if self._pending else 0)
            # What comes from here on is seen by `arm`, which refuses then.
            if self._worker is None or (num_taken < MESSAGES_A_TURN and self._worker.arm()):
                self._num_fruitless = 0
                return
        self._num_fruitless = 0 if num_done else self._num_fruitless + 1
        if self._num_fruitless < FRUITLESS_TURNS:
            self._soon()
        else:  # it waits for a peer that has no room, and would not be told
            self._again = self._loop.call_later(NAP_S, self.turn)

    def _soon(self) -> None:
        if self._again is None:
            self._again = self._loop.call_soon(self.turn)

    def _receive(self) -> int:
        """Take what is there; returns how many were found or handed over."""
        num_taken = 0
        while num_taken < MESSAGES_A_TURN and self._worker is not None:
            found = self._worker.tag_probe(*self._of_any, False)
            if not found.matched:
                break
            num_taken += 1
            self._take(found)
        return num_taken + (self._deliver() if self._coming else 0)

    def _take(self, found: Any) -> None:
        tag, length = found.sender_tag, found.length
        if length > self._limit(tag.value):
            # Received into nothing, so that it is gone: UCX ends such a message as truncated.
            request = self._worker.tag_recv(self._ucx.Array(bytearray(1)), tag)
            self._pending.append((request, None, None))
            self._on_oversized(tag.value, length)
            return
        buffer = memory(length)
        request = self._worker.tag_recv(self._ucx.Array(buffer), tag)
        if tag.value in self._coming or not request.completed:
            self._coming.setdefault(tag.value, deque()).append((request, buffer))
        else:
            self._hand_over(tag.value, request, buffer)

    def _deliver(self) -> int:
        """Hand over what has come in meanwhile, each link in its order; returns how many."""
        number = 0
        for tag, coming in list(self._coming.items()):
            while coming and coming[0][0].completed:
                number += 1
                self._hand_over(tag, *coming.popleft())
            if not coming:
                self._coming.pop(tag, None)
        return number

    def _hand_over(self, tag: int, request: Any, buffer: Buffer) -> None:
        try:
            request.check_error()
        except self._ucx.UCXError:
            return  # its sender is gone, and its link says so
        self._on_bytes(tag, buffer)

    def _settle(self) -> int:
        """Tell those whose requests are done; returns how many are."""
        done = [entry for entry in self._pending if entry[0].completed]
        if done:
            self._pending = [entry for entry in self._pending if not entry[0].completed]
        for request, _, on_done in done:
            reason = ""
            try:
                request.check_error()
            except self._ucx.UCXError as error:
                reason = f"{type(error).__name__}: {error}"
            if on_done is not None:
                on_done(reason)
        return len(done)
