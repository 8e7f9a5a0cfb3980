"""Before the router: who waits for the door, who is refused, and when they may come back."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from cluster.gateway.pace import NS_PER_S, Pace
from workers.errors import Draining, PerfuseError, QueueFull
from workers.node import Node

# Requests that wait while the door is held; each is a body in memory.
HELD_MAX = 1024
# How an answer ends that is one.
WHOLE = ("length", "stop")


class Visit:
    """One request from its arrival to its end."""

    def __init__(self, pace: Pace, node: Node) -> None:
        self._pace, self._clock = pace, node.clock
        self.has_begun = False
        self._is_whole = False
        pace.arrived(self._clock.wall_now())

    def output(self, finish_reason: str) -> None:
        self._is_whole = finish_reason in WHOLE
        if not self.has_begun:
            self.has_begun = True
            self._pace.begun()

    def leave(self) -> None:
        now_ns = self._clock.wall_now()
        self._pace.left(now_ns, has_begun=self.has_begun, is_whole=self._is_whole)


class Entrance:
    """`dilation`: wall time of an emulated second; what users are told is by the wall."""

    def __init__(self, node: Node, dilation: float) -> None:
        self._node, self._dilation = node, dilation
        self.pace = Pace()
        self._opened = asyncio.Event()
        self._opened.set()
        self.num_held = 0
        self.num_asking = 0

    def hold(self) -> None:
        """Whoever comes from now on waits, until `release`; what is inside goes on."""
        self._opened.clear()

    def release(self) -> None:
        self._opened.set()

    async def pass_through(self, deadline_ns: int) -> None:
        """Returns when the door is open. Raises Draining where too many wait for that already, and
        DeadlineExceeded.
        """
        if self._opened.is_set():
            return
        if self.num_held >= HELD_MAX:
            raise Draining(f"{HELD_MAX} requests wait for a node that restarts: try again later")
        self.num_held += 1
        try:
            async with self._node.clock.deadline(deadline_ns):
                while not self._opened.is_set():  # it may be held again before this one's turn
                    await self._opened.wait()
        finally:
            self.num_held -= 1

    @asynccontextmanager
    async def asking(self) -> AsyncGenerator[None, None]:
        """While the router is asked to take a request, and has not answered yet."""
        self.num_asking += 1
        try:
            yield
        finally:
            self.num_asking -= 1

    def with_time(self, error: PerfuseError) -> PerfuseError:
        """The error, with when to come back where it is one of too much at once."""
        if isinstance(error, Draining | QueueFull):
            after_ns = error.facts.get("retry_after_ns") or self.pace.drain_ns()
            if isinstance(after_ns, int) and after_ns:  # else nothing has ended yet
                error.facts["retry_after_ns"] = after_ns
                error.facts["retry_after_s"] = after_ns * self._dilation / NS_PER_S
        return error
