"""One node's place in a world, and its life there: listen, stand, meet the others, answer, stop."""

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from cluster.workload.build import Workload
from cluster.workload.driver import Answer, Driver
from cluster.worlds.blueprint import Blueprint
from cluster.worlds.crew import Crew
from cluster.worlds.host import Host
from cluster.worlds.inside import Afflicted, Inside
from cluster.worlds.node_status import activity, lateness, node_status, printed, wall_between
from cluster.worlds.numerics import wire_numerics
from cluster.worlds.restarting import QUESTIONS as RESTARTING
from cluster.worlds.restarting import Restarting
from cluster.worlds.watchdog import Watchdog
from workers.flash.wear import Wear
from workers.hardware.energy.meter import Reading
from workers.hardware.usage import Usage
from workers.host.rng import Rng
from workers.node import Node
from workers.wire.fabric.counts import NetworkCounts
from workers.wire.membership import Member, Membership

if TYPE_CHECKING:
    from cluster.gateway.http.server import GatewayServer
    from cluster.gateway.settings import GatewaySettings

OnFailure = Callable[[str, BaseException], None]


class Seat(Restarting, Afflicted):
    """One incarnation of a node on its host. `ask` calls one of the methods named in QUESTIONS.

    alone       no other node stands on the host, which ends with the node
    on_failure  told of errors that nobody expected; None prints them
    """

    QUESTIONS = (
        "listen", "build", "meet", "part", "extend", "drain", "chips_hold", "open", "preload",
        "held", "run", "progress", "lateness", "energy", "counts", "queues", "reset_trace",
        "serve_http", "stop_http", "failures", "activity", "pid", "knows", "serves", "status",
        "usage", "crossed", "flash_wear", "wall", "watch", "longest_callbacks", "fault", "stop",
        *RESTARTING,
    )  # fmt: skip

    def __init__(
        self,
        blueprint: Blueprint,
        name: str,
        epoch: int,
        host: Host,
        *,
        alone: bool = False,
        on_failure: OnFailure | None = None,
    ) -> None:
        self._blueprint, self._host, self._alone = blueprint, host, alone
        self._failures, self._answers = list[str](), list[Answer]()
        self._server: GatewayServer | None = None
        self._on_failure, self._watchdog = on_failure or printed, Watchdog()
        self.plan = plan = blueprint.plan.node(name)
        self.mail = host.mail(name)
        self.node = Node(
            name,
            epoch=epoch,
            clock=host.clock_of(name),
            device=plan.device,
            link=plan.link,
            mail=self.mail,
            members=Membership(blueprint.plan.directory),
            disk=host.disk(name),
            rng=Rng(blueprint.scenario.seed),
            trace=host.trace(name),
            on_failure=self._failed,
            numerics=wire_numerics(blueprint),
            compute_thread=host.thread,
            aside=host.aside,
            ranked=host.ranked(blueprint),
            fabric=host.fabric(blueprint),
            slow=plan.slow,
        )
        self.crew: Crew | None = None
        self.inside = Inside(self.node, plan.slow, lambda: self.crew)

    def _failed(self, task: str, error: BaseException) -> None:
        self._failures.append(f"{task}: {type(error).__name__}: {error}")
        self._on_failure(task, error)

    async def ask(self, question: str, *arguments: Any) -> Any:
        assert question in self.QUESTIONS, f"nobody may ask {question!r}"
        return await getattr(self, question)(*arguments)

    # -- standing up -------------------------------------------------------------------------------

    async def listen(self) -> Member:
        """Begin to receive; strangers are not heard, what comes before its workers stand waits."""
        node, endpoint = self.node, self.node.endpoint
        endpoint.incoming.hold()
        address = await self.mail.start(endpoint.receive, endpoint.peer_died)
        ranks = "" if node.ranks is None else node.ranks.address
        return Member(node.name, node.epoch, self.plan.link, address, ranks, self._host.machine)

    async def build(self) -> None:
        """Load what the node's workers need."""
        fold = self._host.fold(self._blueprint)
        self.crew = Crew(self._blueprint, self.plan, self.node, fold)

    async def meet(self, members: Sequence[Member]) -> None:
        """These live now, each in place of its older incarnation."""
        others = [member for member in members if member.node != self.node.name]
        await self.mail.connect({member.node: member.address for member in others})
        for member in others:
            self.node.members.join(member)

    async def part(self, node: str, reason: str) -> None:
        """That node is gone, whether or not the wire noticed."""
        self.node.members.leave(node, reason)

    async def extend(self, blueprint: Blueprint) -> None:
        """The cluster is as this says now; no chip that goes has anything left (see `drain`)."""
        self._host.become(blueprint.scenario.cluster)
        self.node.members.become(blueprint.plan.directory)
        self._standing.become(blueprint)

    async def drain(self, chips: Sequence[str]) -> list[str]:
        """On the router's node: give these nothing new; those that have not ended theirs yet."""
        return self._standing.router.number_of_chips.drain(chips)

    async def chips_hold(self) -> dict[str, int]:
        """What the node's chips hold, and calls that it has open: all zero when it may go."""
        return self._standing.chips_hold()

    async def open(self) -> None:
        self._standing.begin()  # all others have met this node
        self._host.stands()
        self.node.endpoint.incoming.open()

    async def preload(self, again: bool = False) -> None:
        """On the router's node: see `Preloading.bring`, and `bring_again`."""
        await self._standing.preload(again)

    @property
    def _standing(self) -> Crew:
        assert self.crew is not None, f"{self.node.name} does not stand yet"
        return self.crew

    # -- what its driver asks ----------------------------------------------------------------------

    async def failures(self) -> list[str]:
        """Tasks of this node that ended with an error nobody expected."""
        return list(self._failures)

    async def pid(self) -> int:
        return os.getpid()

    async def knows(self) -> dict[str, int]:
        """Node -> epoch of all that live, as far as this node knows."""
        return self.node.members.living()

    async def watch(self) -> None:
        """Begin to measure how long callbacks hold this process's event loops."""
        self._watchdog.start()

    async def longest_callbacks(self) -> list[tuple[int, str]]:
        """The longest since `watch`: processor nanoseconds, and what they did."""
        return self._watchdog.stop()

    async def activity(self) -> dict[str, int]:
        return activity(self.node)

    async def status(self) -> dict[str, Any]:
        return node_status(self.node, self._host, self._blueprint.scenario.cluster.dilation)

    async def wall(self) -> tuple[int, int, int]:
        """Emulated time by the wall, between two readings of the system's monotonic clock."""
        return wall_between(self.node.clock)

    async def held(self) -> dict[str, int]:
        return await self._standing.gateway.held_everywhere()

    async def run(self, workload: Workload) -> list[Answer]:
        """Put a workload to the cluster from here (the gateway's node); see Driver."""
        self._answers = []
        driver = Driver(self.node, self._standing.gateway, self._answers.append)
        return await driver.run(workload)

    async def progress(self, since: int) -> list[Answer]:
        """Answers of the `run` under way, from number `since` on, in the order they came."""
        return self._answers[since:]

    async def reset_trace(self) -> None:
        self.node.trace.records.clear()  # start-up is not part of a measurement
        self.node.restart_energy()

    async def energy(self) -> Reading | None:
        """What the node drew since `reset_trace`; None where nothing is emulated."""
        return self.node.read_energy()

    async def usage(self) -> Usage:
        """What the node's resources did since it stands."""
        return self.node.usage()

    async def crossed(self) -> NetworkCounts | None:
        """What has crossed the network, as far as is known where the node stands."""
        return self._host.network_counts()

    async def flash_wear(self) -> dict[str, Wear]:
        """Of each tier with a file behind it."""
        return self._standing.flash_wear()

    async def queues(self) -> dict[str, int]:
        """What waits on this node, by name -> how much of it ever waited at once."""
        return {name: queue.length for name, queue in self.node.queues.items()}

    async def counts(self) -> dict[str, int]:
        """What this node's workers have counted so far; see `Crew.counts`."""
        return self._standing.counts

    async def lateness(self) -> list[tuple[str, int]]:
        """(request id, how late) of every run and delivery since `reset_trace`."""
        return lateness(self.node)

    async def serve_http(self, host: str, port: int, settings: "GatewaySettings") -> str:
        """Listen; returns the URL."""
        from cluster.gateway.http.server import serve  # here: one node needs it, and it loads long

        self._server = serve(self._standing.gateway, host, port, settings, self._standing.faults)
        await self._server.start()
        return self._server.url

    async def serves(self) -> bool:
        """Whether what `serve_http` began still goes on."""
        return self._server is not None and self._server.is_serving

    async def stop_http(self) -> None:
        """Let open answers end, then close."""
        if self._server is not None:
            await self._server.stop()
            self._server = None

    # -- how it ends -------------------------------------------------------------------------------

    async def stop(self) -> None:
        """In order: what is said is sent, then the wire closes."""
        await self.stop_http()
        await self.node.crash()
        await self.mail.close()
        if self._alone:
            self._host.close()
