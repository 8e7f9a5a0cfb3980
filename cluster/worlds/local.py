"""The local world: every node a process on this machine, started by Ray, talking gRPC over unix
sockets.

Ray is the control plane: it starts and stops processes and carries the driver's questions. No token
travels by it.
"""

import asyncio
import os
import secrets
import shutil
import signal
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from cluster.worlds.blueprint import Blueprint
from cluster.worlds.host import WireHost
from cluster.worlds.live import LiveWorld, quiet
from cluster.worlds.raising import OnStep, raise_again, raise_cluster
from cluster.worlds.ray_session import ray, start_ray
from cluster.worlds.seat import Seat
from workers.actors import Make, start_process
from workers.host.clock.origin import Origin

START_TIMEOUT_S = 180


class LocalWorld(LiveWorld):
    """A cluster that stands on this machine. Use `local_world`.

    folder   holds everything that the session writes, Ray's files included; goes with it
    """

    def __init__(self, blueprint: Blueprint, folder: Path) -> None:
        super().__init__(blueprint)
        self.folder = folder
        self._token = secrets.token_hex(16)
        self._origin = Origin.now()
        self._processes: dict[str, Any] = {}

    # -- Seats -------------------------------------------------------------------------------------

    async def place(self, node: str, epoch: int) -> None:
        """A process for it. Does not wait: all start at once."""
        make = _seat(self.blueprint, node, epoch, self._origin, self.folder, self._token)
        self._processes[node] = start_process(f"{node}/{epoch}", make)
        self._epochs[node] = epoch

    async def ask_each(
        self, nodes: Sequence[str], question: str, *arguments: Any
    ) -> dict[str, Any]:
        return _wait({node: self.begin(node, question, *arguments) for node in nodes})

    # -- LiveWorld ---------------------------------------------------------------------------------

    def begin(self, node: str, question: str, *arguments: Any) -> Any:
        return self._processes[node].ask.remote(question, *arguments)

    def is_answered(self, begun: Any, timeout_s: float) -> bool:
        return bool(ray.wait([begun], timeout=timeout_s)[0])

    def result(self, begun: Any, timeout_s: float | None = None) -> Any:
        return ray.get(begun, timeout=timeout_s)

    def kill(self, node: str) -> None:
        """The node's process dies without a word: kill -9."""
        pid = self.ask(node, "pid")
        self._is_gone(node)
        os.kill(pid, signal.SIGKILL)

    def revive(self, node: str) -> None:
        self.members = asyncio.run(raise_again(self, self.members, node, self._next_epoch(node)))

    # ----------------------------------------------------------------------------------------------

    def start(self, on_step: OnStep) -> None:
        """Let the cluster stand."""
        self.members = asyncio.run(raise_cluster(self.blueprint, self, on_step))

    def stop(self) -> None:
        """Let each close its sockets; one that is dead already has nothing to close."""
        for reference in [process.stop.remote() for process in self._processes.values()]:
            with suppress(ray.exceptions.RayError, TimeoutError):
                ray.get(reference, timeout=10)
        for process in self._processes.values():
            ray.kill(process)


def _seat(
    blueprint: Blueprint, node: str, epoch: int, origin: Origin, folder: Path, token: str
) -> Make:
    def make() -> Seat:
        host = WireHost(blueprint.scenario.cluster, origin, folder, token, unix=True)
        return Seat(blueprint, node, epoch, host, alone=True)

    return make


@contextmanager
def local_world(blueprint: Blueprint, on_step: OnStep = quiet) -> Iterator[LocalWorld]:
    """Start the cluster, and take it down again whatever happens; leaves no process and no file.

    Raises RuntimeError if Ray does not start, TimeoutError if a step of the start takes longer than
    START_TIMEOUT_S.
    """
    folder = Path(tempfile.mkdtemp(prefix="perfuse-"))
    try:
        on_step("starting Ray")
        try:
            start_ray(folder)
            world = LocalWorld(blueprint, folder)
            try:
                world.start(on_step)
                yield world
            finally:
                world.stop()
        finally:
            ray.shutdown()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _wait(begun: dict[str, Any]) -> dict[str, Any]:
    """What each node answers; the nodes that do not are named."""
    references = list(begun.values())
    try:
        return dict(zip(begun, ray.get(references, timeout=START_TIMEOUT_S), strict=True))
    except ray.exceptions.GetTimeoutError:
        _, missing = ray.wait(references, num_returns=len(references), timeout=0)
        late = ", ".join(name for name, reference in begun.items() if reference in missing)
        raise TimeoutError(
            f"the cluster did not start: no answer in {START_TIMEOUT_S} s from {late}; "
            "is this machine short of cores or memory?"
        ) from None
