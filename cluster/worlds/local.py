"""The local world: every node a process on this machine, started by Ray, talking gRPC over unix
sockets.

Ray is the control plane: it starts and stops processes and carries the driver's questions. No token
travels by it.
"""

import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cluster.worlds.blueprint import Blueprint
from cluster.worlds.live import LiveWorld, OnStep, quiet
from cluster.worlds.ray_session import ray, start_ray
from workers.actors import host_actor
from workers.wire.transport.base import Transport

START_TIMEOUT_S = 180


class LocalWorld(LiveWorld):
    """A cluster that stands on this machine. Use `local_world`.

    folder   holds everything that the session writes, Ray's files included; goes with it
    """

    def __init__(self, blueprint: Blueprint, hosts: dict[str, Any], folder: Path) -> None:
        super().__init__(blueprint)
        self.folder = folder
        self._hosts = hosts

    def begin(self, node: str, question: str, *arguments: Any) -> Any:
        return self._hosts[node].ask.remote(question, *arguments)

    def is_answered(self, begun: Any, timeout_s: float) -> bool:
        return bool(ray.wait([begun], timeout=timeout_s)[0])

    def result(self, begun: Any, timeout_s: float | None = None) -> Any:
        return ray.get(begun, timeout=timeout_s)

    def kill(self, node: str) -> None:
        """The node's process dies without a word."""
        ray.kill(self._hosts[node])


def _make_transport(node: str, token: str, folder: Path) -> Callable[[], Transport]:
    def make() -> Transport:
        from workers.wire.transport.grpc import GrpcTransport

        return GrpcTransport(node, token=token, unix=True, folder=folder)

    return make


def _build(blueprint: Blueprint, node: str, disk_folder: Path) -> Any:
    async def build(transport: Transport, origin_ns: int) -> Any:
        from cluster.worlds.standing import Host, StandingNode

        plan = blueprint.plan.node(node)
        host = Host.begin(blueprint.scenario.cluster, origin_ns)
        return StandingNode(blueprint, plan, transport, host, disk_folder, alone=True)

    return build


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
            hosts = _start_hosts(blueprint, folder, on_step)
            world = LocalWorld(blueprint, hosts, folder)
            try:
                yield world
            finally:
                _stop_hosts(hosts)
        finally:
            ray.shutdown()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _start_hosts(blueprint: Blueprint, folder: Path, on_step: OnStep) -> dict[str, Any]:
    names = [node.name for node in blueprint.plan.nodes]
    token = secrets.token_hex(16)
    on_step(f"starting {len(names)} nodes")
    hosts = {
        name: host_actor(
            name, _make_transport(name, token, folder), _build(blueprint, name, folder)
        )
        for name in names
    }

    addresses = _wait({name: host.listen.remote() for name, host in hosts.items()})
    on_step("loading workers")
    origin_ns = time.monotonic_ns()
    _wait({name: host.build.remote(origin_ns) for name, host in hosts.items()})
    on_step("connecting")
    _wait({name: host.connect.remote(addresses) for name, host in hosts.items()})
    if blueprint.scenario.placement.collections:
        on_step("loading collections")
        router = blueprint.node_of("router").name
        _wait({router: hosts[router].ask.remote("preload")})
    return hosts


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


def _stop_hosts(hosts: dict[str, Any]) -> None:
    """Let each close its sockets; one that is dead already has nothing to close."""
    for reference in [host.stop.remote() for host in hosts.values()]:
        try:
            ray.get(reference, timeout=10)
        except (ray.exceptions.RayError, TimeoutError):
            continue
    for host in hosts.values():
        ray.kill(host)
