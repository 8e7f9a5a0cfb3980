"""A cluster on both sides of a network: a process in each of two namespaces, `relay` between."""

import asyncio
import multiprocessing
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from benchmarks.wires import relay
from cluster.faults.standing import StandingFaults
from cluster.worlds.blueprint import Blueprint
from cluster.worlds.raising import ENDING, raise_cluster
from cluster.worlds.seat import Seat
from cluster.worlds.wire_host import Ground, WireHost
from configs.schema.faults import link_faults
from workers.host.aside import at_once
from workers.host.clock.origin import Origin
from workers.host.rng import Rng
from workers.wire.mail import Frames, Mail
from workers.wire.transport.grpc import GrpcTransport

TOKEN = "network"


class _Host(WireHost):
    """Listens on this namespace's address."""

    def __init__(self, blueprint: Blueprint, origin: Origin, folder: Path, address: str) -> None:
        cluster = blueprint.scenario.cluster
        super().__init__(cluster, origin, Ground(folder, TOKEN))
        self._at = address

    def mail(self, node: str) -> Mail:
        return Mail(GrpcTransport(node, token=TOKEN, host=self._at), Frames())


class _Side:
    """The nodes of one namespace, in one process; asked over a pipe."""

    def __init__(self, blueprint: Blueprint, origin: Origin, folder: Path, address: str) -> None:
        self._blueprint = blueprint
        self._made = (blueprint, origin, folder, address)
        self._hosts: list[WireHost] = []
        self._seats: dict[str, Seat] = {}
        self._faults: dict[str, StandingFaults] = {}

    async def ask(self, node: str, question: str, *arguments: Any) -> Any:
        if question == "place":
            host = _Host(*self._made)
            self._hosts.append(host)
            self._seats[node] = Seat(self._blueprint, node, 1, host)
            return None
        if question == "faults":
            endpoint = self._seats[node].node.endpoint
            made = StandingFaults(endpoint, self._blueprint.plan.directory, Rng(0))
            self._faults.setdefault(node, made).become(dict(link_faults(arguments[0])))
            return None
        return await self._seats[node].ask(question, *arguments)

    async def serve(self, pipe: Connection) -> None:
        """Until the pipe says None: each question is a task, answered by its number."""
        loop, tasks = asyncio.get_running_loop(), set[asyncio.Task[None]]()

        async def answer(number: int, asked: tuple[Any, ...]) -> None:
            try:
                pipe.send((number, await self.ask(*asked), None))
            except Exception as error:  # it is the asker's
                pipe.send((number, None, repr(error)))

        while (told := await loop.run_in_executor(None, pipe.recv)) is not None:
            task = loop.create_task(answer(*told))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        for host in self._hosts:
            host.close()


def _side(pipe: Connection, made: tuple[Any, ...]) -> None:
    """The process of one namespace."""
    relay.enter_namespace()
    pipe.send("entered")
    pipe.recv()  # the network stands
    asyncio.run(_Side(*made).serve(pipe))


class Namespaces:
    """Seats in two processes; `relay` is what is between them, and `far` the node beyond it."""

    def __init__(self, blueprint: Blueprint, pipes: Sequence[Connection], far: str) -> None:
        self.blueprint, self._pipes, self._far, self._number = blueprint, pipes, far, 0

    async def place(self, node: str, epoch: int) -> None:
        assert epoch == 1, "nobody comes back here"
        await self.ask_each([node], "place")

    async def ask_each(
        self, nodes: Sequence[str], question: str, *arguments: Any
    ) -> Mapping[str, Any]:
        asked: dict[int, tuple[str, Connection]] = {}
        for node in nodes:
            self._number += 1
            pipe = self._pipes[node == self._far]
            pipe.send((self._number, (node, question, *arguments)))
            asked[self._number] = node, pipe
        told: dict[str, Any] = {}
        for pipe in [pipe for _, pipe in asked.values()]:
            number, answer, error = pipe.recv()
            node = asked[number][0]
            if error is not None:
                raise RuntimeError(f"{question} of {node} failed: {error}")
            told[node] = answer
        return told

    def ask_all(self, question: str, *arguments: Any) -> Mapping[str, Any]:
        names = [node.name for node in self.blueprint.plan.nodes]
        return at_once(self.ask_each(names, question, *arguments))


@contextmanager
def standing(blueprint: Blueprint, far: str) -> Iterator[tuple[Namespaces, relay.Relay]]:
    """Both processes, the network between them, and the cluster on both sides of it."""
    spawn, origin = multiprocessing.get_context("spawn"), Origin.now()
    with tempfile.TemporaryDirectory(prefix="perfuse-") as folder:
        pipes, children = [], []
        for address in relay.ADDRESSES:
            ours, its = spawn.Pipe()
            made = (blueprint, origin, Path(folder), address)
            child = spawn.Process(target=_side, args=(its, made))
            child.start()
            its.close()
            pipes.append(ours)
            children.append(child)
        try:
            for pipe in pipes:
                pipe.recv()
            with relay.joined((children[0].pid or 0, children[1].pid or 0)) as between:
                for pipe in pipes:
                    pipe.send("the network stands")
                cluster = Namespaces(blueprint, pipes, far)
                at_once(raise_cluster(blueprint, cluster, lambda step: None))
                yield cluster, between
                for question in ENDING:
                    cluster.ask_all(question)
                for pipe in pipes:
                    pipe.send(None)
                for child in children:
                    child.join(30)
        finally:
            for child in children:
                child.kill()
                child.join()
