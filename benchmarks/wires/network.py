"""An injected delay beside one of the network: `python -m benchmarks.wires.network [--json FILE]`.

A chip decodes 8 streams of `perfuse-tiny`; its experts are in another network namespace, reached by
gRPC over TCP. Blocks take turns: a network that holds each packet for 20 ms (`relay`), and a
`latency` fault of 20 ms on the link between chip and experts, both ways, over the same network
without a delay. What is compared is TPOT as the wall at the gateway's node sees it.

Expected before the first run: a token crosses four layers, there and back: 8 x 20 ms = 160 ms in
both. An injected delay counts from the emulated send, so that what our software takes to send and
to receive is hidden in it; a packet's begins when that is done. So the network's TPOT is longer by
the software of 8 crossings and 4 expert calls, some 0.4 ms each: 3 %. At p99 both have what the
machine adds.
"""

import asyncio
import multiprocessing
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from benchmarks.rows import Row, arguments, report
from benchmarks.wires import relay
from cluster.faults.standing import StandingFaults
from cluster.workload.build import Workload, build_workload
from cluster.worlds.blueprint import Blueprint
from cluster.worlds.host import Ground, WireHost
from cluster.worlds.raising import ENDING, raise_cluster
from cluster.worlds.seat import Seat
from configs.schema import load_scenario
from configs.schema.faults import named
from workers.host.aside import at_once
from workers.host.clock.origin import Origin
from workers.host.rng import Rng
from workers.wire.mail import Frames, Mail
from workers.wire.transport.grpc import GrpcTransport

DELAY_MS = 20
STREAMS, TOKENS = 8, 16
BLOCKS, PER_BLOCK = 4, 32  # of each kind, and requests of one
P50_BAR, P99_BAR = 0.05, 0.10
FAR = "experts-0"  # the node beyond the network
TOKEN = "network"
FAULT = {
    "type": "latency", "source": "chip-0", "destination": FAR, "direction": "both",
    "attributes": {"latency": f"{DELAY_MS} ms"},
}  # fmt: skip
NODES: Mapping[str, object] = {
    name: {"workers": [role], "device": "h100-sxm", "link": "lowlat-2us"}
    for name, role in (
        ("router", "router"), ("gateway", "gateway"), ("chip", "chip"), ("experts", "experts"),
    )
}  # fmt: skip


def drawn(num_requests: int, faulty: bool) -> Blueprint:
    prompts = {"input_length": {"fixed": 8}, "output_length": {"fixed": TOKENS}}
    changes: dict[str, object] = {
        "cluster.world": "local",
        "cluster.dilation": 1,
        "cluster.nodes": NODES,
        "placement.collections": None,
        "placement.kv_pool": False,
        "workload.prompts": {"synthetic": prompts},
        "workload.arrivals.closed": {"concurrency": STREAMS, "num_requests": num_requests},
        "workload.sampling.ignore_eos": True,
        "slo.deadline": "120 s",
        "faults": [FAULT] if faulty else [],
    }
    return Blueprint.draw(load_scenario("demo", changes))


class _Host(WireHost):
    """Listens on this namespace's address."""

    def __init__(self, blueprint: Blueprint, origin: Origin, folder: Path, address: str) -> None:
        cluster = blueprint.scenario.cluster
        super().__init__(cluster, origin, Ground(folder, TOKEN))
        self._address = address

    def mail(self, node: str) -> Mail:
        return Mail(GrpcTransport(node, token=TOKEN, host=self._address), Frames())


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
            self._faults.setdefault(node, made).become(dict(named(arguments[0])))
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
    """Seats in two processes; `relay` is what is between them."""

    def __init__(self, blueprint: Blueprint, pipes: Sequence[Connection]) -> None:
        self.blueprint, self._pipes, self._number = blueprint, pipes, 0

    async def place(self, node: str, epoch: int) -> None:
        assert epoch == 1, "nobody comes back here"
        await self.ask_each([node], "place")

    async def ask_each(
        self, nodes: Sequence[str], question: str, *arguments: Any
    ) -> Mapping[str, Any]:
        asked: dict[int, tuple[str, Connection]] = {}
        for node in nodes:
            self._number += 1
            pipe = self._pipes[node == FAR]
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

    def tpots_ms(self, workload: Workload) -> list[float]:
        """Of each request, by the wall at the gateway's node."""
        answers = at_once(self.ask_each(["gateway"], "run", workload))["gateway"]
        wrong = [answer.error or len(answer.token_ids) for answer in answers]
        if wrong != [TOKENS] * len(answers):
            raise RuntimeError(f"answers are not whole: {wrong}")
        return [answer.tpot_ns / 1e6 for answer in answers]


@contextmanager
def standing(blueprint: Blueprint) -> Iterator[tuple[Namespaces, relay.Relay]]:
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
                cluster = Namespaces(blueprint, pipes)
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


def observe(blocks: int = BLOCKS, per_block: int = PER_BLOCK) -> dict[str, list[float]]:
    """ "network" and "injected" -> milliseconds a token of each request."""
    blueprint = drawn((1 + 2 * blocks) * per_block, faulty=False)
    rules = drawn(1, faulty=True).scenario.faults
    requests = build_workload(blueprint.scenario, blueprint.model.vocab).requests
    parts = [
        Workload(requests[first : first + per_block], STREAMS)
        for first in range(0, len(requests), per_block)
    ]
    found: dict[str, list[float]] = {"network": [], "injected": []}
    with standing(blueprint) as (cluster, between):
        cluster.tpots_ms(parts[0])
        for turn, part in enumerate(parts[1:]):
            by_network = turn % 2 == 0
            between.become(DELAY_MS * 1_000_000 if by_network else 0)
            cluster.ask_all("faults", () if by_network else rules)
            found["network" if by_network else "injected"] += cluster.tpots_ms(part)
    return found


def rows_of(found: Mapping[str, Sequence[float]]) -> list[Row]:
    rows = []
    for name, bar, share in (("median", P50_BAR, 50), ("p99", P99_BAR, 99)):
        network, injected = (
            median(values) if share == 50 else quantiles(values, n=100)[98]
            for values in (found["network"], found["injected"])
        )
        off = injected / network - 1
        how = f"measured: {injected:.1f} ms injected, {network:.1f} ms by the network, "
        rows.append(
            Row(
                f"TPOT with {DELAY_MS} ms injected, off that of a late network: {name}",
                round(off, 4),
                "",
                f"within {bar:.0%}",
                abs(off) <= bar,
                f"{how}{len(found['injected'])} requests each",
            )
        )
    return rows


def run() -> list[Row]:
    if why := relay.hindrance():
        name = "TPOT with an injected delay, beside a late network"
        return [Row(name, "left out", "", "none", True, f"measured: {why}")]
    return rows_of(observe())


def main() -> int:
    options = arguments("An injected delay beside one of the network.").parse_args()
    return report(run(), options.json, "A late network")


if __name__ == "__main__":
    sys.exit(main())
