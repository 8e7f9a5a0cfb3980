"""The local world: every node a process on this machine, started by Ray, talking gRPC over unix
sockets (with the cluster's certificates: over TLS on loopback), or by shared memory, UCX's or our
own.

Ray is the control plane: it starts and stops processes and carries the driver's questions. No token
travels by it.
"""

import os
import secrets
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from cluster.worlds.asked_hands import AskedHands
from cluster.worlds.blueprint import Blueprint
from cluster.worlds.fault_thread import FaultThread
from cluster.worlds.folder import SHARED_MEMORY, own_folder
from cluster.worlds.inside import POSTED
from cluster.worlds.live import LiveWorld, quiet
from cluster.worlds.raising import END_TIMEOUT_S, ENDING, OnStep, raise_again, raise_cluster
from cluster.worlds.ray_session import end_ray, ray, start_ray
from cluster.worlds.rolling import restart
from cluster.worlds.seat import Seat
from cluster.worlds.signals import Signals
from cluster.worlds.supervisor import Supervisor, has_ended
from cluster.worlds.wire_host import Ground, WireHost
from configs.presets import certificates_folder
from configs.schema.faults import NodeFault
from workers.actors import Make, start_process
from workers.errors import PeerDead
from workers.host.aside import at_once
from workers.host.clock.origin import Origin

START_TIMEOUT_S = 180
HEAR_S = 0.5  # between two looks at whether all is over


class LocalWorld(LiveWorld):
    """A cluster that stands on this machine. Use `local_world`.

    folder     holds everything that the session writes, Ray's files included; goes with it
    segments   the same in shared memory, for a wire that makes names there, and for a network;
               None: there is neither, or no shared memory: then a network's is in `folder`
    """

    def __init__(self, blueprint: Blueprint, folder: Path, segments: Path | None) -> None:
        super().__init__(blueprint)
        self.folder, self.segments = folder, segments
        self._token = secrets.token_hex(16)
        self._origin = Origin.now()
        self._processes: dict[str, Any] = {}
        self._joins = threading.Lock()
        self._pids: dict[str, int] = {}  # of who lived when they were asked last
        self._signals = Signals(self._living, self.kill, self.revive)
        self._insides = AskedHands(self._fault)
        hands = self._signals, self._insides
        self.faults = FaultThread(
            blueprint.scenario, blueprint.plan.directory, *hands, self._posted
        )
        self._hearing: Any = None  # what the gateway is asked for such, without answer so far
        nodes = [node.name for node in blueprint.plan.nodes]
        restarts = blueprint.scenario.cluster.restarts_max
        known = self._living, self._has_ended, self.revive
        self.supervisor = Supervisor(nodes, *known, restarts)

    # -- Seats -------------------------------------------------------------------------------------

    async def place(self, node: str, epoch: int) -> None:
        """A process for it. Does not wait: all start at once."""
        if node in self._processes:  # it died, or has stopped: so does its process
            ray.kill(self._processes[node])
        make = self._seat(node, epoch)
        self._processes[node] = start_process(f"{node}/{epoch}", make)
        self._epochs[node] = epoch

    def _seat(self, node: str, epoch: int) -> Make:
        blueprint, cluster = self.blueprint, self.blueprint.scenario.cluster
        named = cluster.certificates
        ground = Ground(
            self.folder,
            self._token,
            certificates=None if named is None else certificates_folder(named),
            segments=self.segments,
        )
        origin = self._origin

        def make() -> Seat:
            return Seat(blueprint, node, epoch, WireHost(cluster, origin, ground), alone=True)

        return make

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
        try:
            return ray.get(begun, timeout=timeout_s)
        except ray.exceptions.RayActorError as error:
            raise self._gone(error) from error

    def _gone(self, error: Any) -> PeerDead:
        name = next((n for n, p in self._processes.items() if _is_of(p, error)), "a node")
        return PeerDead(f"{name} is gone: its process ended", node=name)

    def kill(self, node: str) -> None:
        """The node's process dies without a word: kill -9."""
        self._is_gone(node)
        with suppress(ProcessLookupError):  # it was gone already
            os.kill(self._pids[node], signal.SIGKILL)

    def _has_ended(self, node: str) -> None:
        """Its process was not there: unless somebody restarts it just now it is gone."""
        with self._joins:
            living = self._living(node)
            if living is not None and has_ended(living[1]):
                self._is_gone(node)

    def revive(self, node: str) -> None:
        with self._joins:  # one after the other: faults come from a thread of their own
            if self._living(node) is not None:
                return  # somebody else was sooner
            again = raise_again(self, self.members, {node: self._next_epoch(node)})
            self.members = at_once(again)
            self._pids[node] = self.ask(node, "pid")
            self._insides.stands_again(node)

    def _posted(self) -> Sequence[tuple[str, NodeFault]]:
        """Faults of nodes that the gateway was told; one that is gone tells nothing."""
        try:
            if self._hearing is None:
                self._hearing = self.begin(self.gateway, "fault", POSTED)
            if not self.is_answered(self._hearing, HEAR_S):
                return ()
            begun, self._hearing = self._hearing, None
            told: list[tuple[str, NodeFault]] = self.result(begun)
        except (PeerDead, ray.exceptions.RayError):
            time.sleep(HEAR_S)
            return ()
        return told

    def _fault(self, node: str, what: str, *arguments: Any) -> Any:
        return self.ask(node, "fault", what, *arguments)

    def restart(self, node: str) -> None:
        with self._joins:
            try:
                at_once(restart(self, node))
                self._pids[node] = self.ask(node, "pid")
            except ray.exceptions.RayActorError as error:
                raise self._gone(error) from error

    def _living(self, node: str) -> tuple[int, int] | None:
        """Epoch and process of the incarnation that lives."""
        if not any(member.node == node for member in self.members):
            return None
        return self._epochs[node], self._pids[node]

    # ----------------------------------------------------------------------------------------------

    def start(self, on_step: OnStep) -> None:
        """Let the cluster stand."""
        # Not by asyncio.run: its own handler of Ctrl-C only cancels a task while Ray blocks.
        self.members = at_once(raise_cluster(self.blueprint, self, on_step))
        self._pids = self.ask_all("pid")  # now: one that stands still does not tell
        self.faults.begin()
        self.supervisor.begin()

    def stop(self) -> None:
        """In the order of every world; what is dead already has nothing to end, and what never
        stood has nothing open.
        """
        self.supervisor.stop()
        self.faults.stop()
        self._signals.resume_all()
        try:
            for question in ENDING if self.members else ():
                self._end(question)
        finally:
            for process in self._processes.values():
                ray.kill(process)

    def _end(self, question: str) -> None:
        begun = [process.end.remote(question) for process in self._processes.values()]
        ends_s = time.monotonic() + END_TIMEOUT_S[question]
        for reference in begun:
            with suppress(ray.exceptions.RayError, TimeoutError):
                ray.get(reference, timeout=max(0.0, ends_s - time.monotonic()))


@contextmanager
def local_world(blueprint: Blueprint, on_step: OnStep = quiet) -> Iterator[LocalWorld]:
    """Start the cluster, and take it down again whatever happens; leaves no process and no file.

    Raises RuntimeError if Ray does not start, TimeoutError if a step of the start takes longer than
    START_TIMEOUT_S.
    """
    with ExitStack() as stack:
        folder = stack.enter_context(own_folder())
        segments = None
        cluster = blueprint.scenario.cluster
        has_network = cluster.network is not None and SHARED_MEMORY.is_dir()
        if "ucx" in cluster.wires or has_network:
            segments = stack.enter_context(own_folder(SHARED_MEMORY))
        on_step("starting Ray")
        try:
            start_ray(folder)
            world = LocalWorld(blueprint, folder, segments)
            try:
                world.start(on_step)
                yield world
            finally:
                world.stop()
        finally:
            end_ray(folder)


def _is_of(process: Any, error: Any) -> bool:
    return bool(process._actor_id.hex() == error.actor_id)


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
