"""The process world: every node an object in this process, on the wall clock.

All nodes share one event loop, on a thread of its own, and one compute thread. Frames move by
memory, the HTTP gateway listens from the same loop, and nothing else is started: no Ray, no gRPC.
With emulation off this is a server in its own right.

    this thread ── ask ──▶  event loop: gateway, router, chips, shards ── run ──▶  compute thread
"""

import asyncio
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cluster.worlds.blueprint import Blueprint
from cluster.worlds.live import LiveWorld, OnStep, quiet
from cluster.worlds.standing import Host, StandingNode
from workers.wire.transport.memory import MemoryNetwork, MemoryTransport

# The event loop gets so long to end when it is asked to; longer only while a model is loading.
LEAVE_S = 2


class ProcessWorld(LiveWorld):
    """A cluster that stands in this process. Use `process_world`.

    folder   the nodes' disks
    """

    def __init__(self, blueprint: Blueprint, folder: Path) -> None:
        super().__init__(blueprint)
        self._folder = folder
        self._network = MemoryNetwork()
        self._nodes: dict[str, StandingNode] = {}
        self._host: Host | None = None
        self._loop = asyncio.new_event_loop()
        # A daemon: whoever is told to end while a model loads need not wait for it.
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="event loop", daemon=True
        )

    def begin(self, node: str, question: str, *arguments: Any) -> "Future[Any]":
        coroutine = self._nodes[node].ask(question, *arguments)
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    def is_answered(self, begun: "Future[Any]", timeout_s: float) -> bool:
        try:
            begun.exception(timeout_s)
        except TimeoutError:
            return False
        return True

    def result(self, begun: "Future[Any]", timeout_s: float | None = None) -> Any:
        return begun.result(timeout_s)

    def kill(self, node: str) -> None:
        async def crash() -> None:
            self._network.kill(node)
            await self._nodes[node].stop()

        asyncio.run_coroutine_threadsafe(crash(), self._loop).result()

    def start(self, on_step: OnStep) -> None:
        """Build all nodes, connect them, bring the collections."""
        self._thread.start()
        started = asyncio.run_coroutine_threadsafe(self._start(on_step), self._loop)
        try:
            started.result()
        finally:
            started.cancel()  # where a signal came first; else it is done

    async def _start(self, on_step: OnStep) -> None:
        blueprint, addresses, transports = self.blueprint, {}, []
        self._host = Host.begin(blueprint.scenario.cluster, time.monotonic_ns())
        for plan in blueprint.plan.nodes:
            on_step(f"loading {', '.join(worker.name for worker in plan.workers)}")
            transport = MemoryTransport(self._network, plan.name)
            node = StandingNode(blueprint, plan, transport, self._host, self._folder)
            self._nodes[plan.name] = node
            endpoint = node.endpoint
            addresses[plan.name] = await transport.start(endpoint.receive, endpoint.peer_died)
            transports.append(transport)
        for transport in transports:
            await transport.connect(addresses)
        if blueprint.scenario.placement.collections:
            on_step("loading collections")
            await self._nodes[blueprint.node_of("router").name].preload()

    def stop(self) -> None:
        """Take it down, also one that never quite stood."""
        try:
            if self._thread.is_alive():
                asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result()
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            if self._thread.is_alive():
                self._thread.join(LEAVE_S)
            if not self._thread.is_alive():
                self._loop.close()

    async def _stop(self) -> None:
        try:
            # All HTTP servers first: what they drain still needs every other node.
            for node in self._nodes.values():
                await node.stop_http()
            for node in self._nodes.values():
                await node.stop()
        finally:
            if self._host is not None:
                self._host.close()
            await self._loop.shutdown_asyncgens()


@contextmanager
def process_world(blueprint: Blueprint, on_step: OnStep = quiet) -> Iterator[ProcessWorld]:
    """Let the cluster stand in this process, and take it down whatever happens; leaves no thread
    and no file.
    """
    folder = Path(tempfile.mkdtemp(prefix="perfuse-"))
    try:
        world = ProcessWorld(blueprint, folder)
        try:
            world.start(on_step)
            yield world
        finally:
            world.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
