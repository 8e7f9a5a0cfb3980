"""The process world: every node an object in this process, on the wall clock.

All nodes share one event loop, on a thread of its own, and one compute thread. Messages move by
memory, the HTTP gateway listens from the same loop, and nothing else is started: no Ray, no gRPC.
With emulation off this is a server in its own right.

    this thread ── ask ──▶  event loop: gateway, router, chips, shards ── run ──▶  compute thread
"""

import asyncio
import threading
import time
from collections.abc import Coroutine, Iterator, Sequence
from concurrent.futures import Future, wait
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from cluster.worlds.blueprint import Blueprint
from cluster.worlds.folder import own_folder
from cluster.worlds.host import ProcessHost
from cluster.worlds.live import LiveWorld, quiet
from cluster.worlds.raising import ENDING, OnStep, raise_again, raise_cluster
from cluster.worlds.rolling import restart
from cluster.worlds.seat import Seat

T = TypeVar("T")

# The event loop gets so long to end when it is asked to; longer only while a model is loading.
LEAVE_S = 2
# Python runs signal handlers in this thread alone, but the system may hand the signal to another
# one: a wait without end would then never learn of it.
SLICE_S = 0.2


class ProcessWorld(LiveWorld):
    """A cluster that stands in this process. Use `process_world`.

    folder   the nodes' disks
    """

    def __init__(self, blueprint: Blueprint, folder: Path) -> None:
        super().__init__(blueprint)
        self._folder = folder
        self.seats: dict[str, Seat] = {}
        self._host: ProcessHost | None = None
        self._loop = asyncio.new_event_loop()
        # A daemon: whoever is told to end while a model loads need not wait for it.
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="event loop", daemon=True
        )

    # -- Seats -------------------------------------------------------------------------------------

    async def place(self, node: str, epoch: int) -> None:
        if self._host is None:
            self._host = ProcessHost(self.blueprint.scenario.cluster, self._folder)
        self.seats[node] = Seat(self.blueprint, node, epoch, self._host)
        self._epochs[node] = epoch

    async def ask_each(
        self, nodes: Sequence[str], question: str, *arguments: Any
    ) -> dict[str, Any]:
        return {node: await self.seats[node].ask(question, *arguments) for node in nodes}

    # -- LiveWorld ---------------------------------------------------------------------------------

    def begin(self, node: str, question: str, *arguments: Any) -> "Future[Any]":
        coroutine = self.seats[node].ask(question, *arguments)
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    def is_answered(self, begun: "Future[Any]", timeout_s: float) -> bool:
        try:
            begun.exception(timeout_s)
        except TimeoutError:
            return False
        return True

    def result(self, begun: "Future[Any]", timeout_s: float | None = None) -> Any:
        return _result(begun, timeout_s)

    def kill(self, node: str) -> None:
        async def crash() -> None:
            assert self._host is not None, "nothing stands yet"
            self._host.network.kill(node)
            await self.seats[node].stop()

        self._is_gone(node)
        self._finish(crash())

    def revive(self, node: str) -> None:
        again = raise_again(self, self.members, {node: self._next_epoch(node)})
        self.members = self._finish(again)

    def restart(self, node: str) -> None:
        self._finish(restart(self, node))

    # ----------------------------------------------------------------------------------------------

    def start(self, on_step: OnStep) -> None:
        """Let the cluster stand."""
        self._thread.start()
        self.members = self._finish(raise_cluster(self.blueprint, self, on_step))

    def stop(self) -> None:
        """Take it down, also one that never quite stood."""
        try:
            if self._thread.is_alive():
                self._finish(self._stop())
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            if self._thread.is_alive():
                self._thread.join(LEAVE_S)
            if not self._thread.is_alive():
                self._loop.close()

    def _finish(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run it in the event loop and wait for it; a signal to this thread cancels it."""
        begun = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        try:
            return _result(begun)
        finally:
            begun.cancel()  # where a signal came first; else it is done

    async def _stop(self) -> None:
        try:
            for question in ENDING:
                await self.ask_each(list(self.seats), question)
        finally:
            if self._host is not None:
                self._host.close()
            await self._loop.shutdown_asyncgens()


def _result(begun: "Future[T]", timeout_s: float | None = None) -> T:
    """The answer, or what was raised instead; TimeoutError if neither comes in time."""
    due_s = None if timeout_s is None else time.monotonic() + timeout_s
    while True:
        slice_s = SLICE_S if due_s is None else min(SLICE_S, max(0.0, due_s - time.monotonic()))
        if wait([begun], slice_s).done:
            return begun.result()
        if due_s is not None and time.monotonic() >= due_s:
            raise TimeoutError(f"no answer in {timeout_s} s")


@contextmanager
def process_world(blueprint: Blueprint, on_step: OnStep = quiet) -> Iterator[ProcessWorld]:
    """Let the cluster stand in this process, and take it down whatever happens; leaves no thread
    and no file.
    """
    with own_folder() as folder:
        world = ProcessWorld(blueprint, folder)
        try:
            world.start(on_step)
            yield world
        finally:
            world.stop()
