"""A node that stands in a live world, and what its driver may ask of it."""

import asyncio
import sys
import traceback
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cluster.workload.build import Workload
from cluster.workload.driver import Answer, Driver
from cluster.worlds.blueprint import Blueprint
from cluster.worlds.crew import Crew
from configs.plan import NodePlan
from configs.schema import ClusterSection
from workers.host.clock.live import LiveClock
from workers.host.disk import FolderDisk
from workers.host.rng import Rng
from workers.host.trace import Delivered, Ran, Trace
from workers.node import Node
from workers.wire.endpoint import Endpoint
from workers.wire.transport.base import Transport

if TYPE_CHECKING:
    from cluster.gateway.http.server import GatewayServer
    from cluster.gateway.settings import GatewaySettings


@dataclass(frozen=True, slots=True)
class Host:
    """What the nodes of one process share: the wall clock, and the thread that computes."""

    clock: LiveClock
    thread: ThreadPoolExecutor

    @classmethod
    def begin(cls, cluster: ClusterSection, origin_ns: int) -> "Host":
        """Inside the event loop in which the nodes will live."""
        clock = LiveClock(origin_ns, cluster.dilation, emulated=cluster.emulation)
        return cls(clock, ThreadPoolExecutor(1, "compute"))

    def close(self) -> None:
        """When no node stands on it any more."""
        self.thread.shutdown(wait=False, cancel_futures=True)
        self.clock.close()


class StandingNode:
    """One node of a live world. `ask` calls one of the methods named in QUESTIONS.

    alone   no other node stands on this host, which ends with the node
    """

    QUESTIONS = (
        "preload", "held", "run", "progress", "lateness", "reset_trace", "serve_http", "stop_http",
        "failures", "activity",
    )  # fmt: skip

    def __init__(
        self,
        blueprint: Blueprint,
        plan: NodePlan,
        transport: Transport,
        host: Host,
        disk_folder: Path,
        *,
        alone: bool = False,
    ) -> None:
        self._host, self._alone = host, alone
        self._failures: list[str] = []
        self._node = Node(
            plan.name,
            epoch=1,
            clock=host.clock,
            device=plan.device,
            link=plan.link,
            transport=transport,
            directory=blueprint.plan.directory,
            peers=blueprint.peers(),
            disk=FolderDisk(disk_folder / plan.name),
            rng=Rng(blueprint.scenario.seed),
            trace=Trace(),
            on_failure=self._failed,
            precision=blueprint.scenario.model.precision,
            compute_thread=host.thread,
        )
        self._crew = Crew(blueprint, plan, self._node)
        self._server: GatewayServer | None = None
        self._answers: list[Answer] = []

    @property
    def endpoint(self) -> Endpoint:
        return self._node.endpoint

    def _failed(self, task: str, error: BaseException) -> None:
        self._failures.append(f"{task}: {type(error).__name__}: {error}")
        traceback.print_exception(error, file=sys.stderr)

    async def ask(self, question: str, *arguments: Any) -> Any:
        assert question in self.QUESTIONS, f"nobody may ask {question!r}"
        return await getattr(self, question)(*arguments)

    async def preload(self) -> None:
        await self._crew.preload()

    async def failures(self) -> list[str]:
        """Tasks of this node that ended with an error nobody expected."""
        return list(self._failures)

    async def activity(self) -> dict[str, int]:
        """What this node is busy with now: tasks of its event loop, and calls without an answer."""
        return {"tasks": len(asyncio.all_tasks()), "calls": self.endpoint.in_flight()}

    async def held(self) -> dict[str, int]:
        assert self._crew.client is not None, "asked of the gateway's node"
        return await self._crew.client.held_everywhere()

    async def run(self, workload: Workload) -> list[Answer]:
        """Put a workload to the cluster from here (the gateway's node); see Driver."""
        assert self._crew.client is not None, "asked of the gateway's node"
        self._answers = []
        driver = Driver(self._node, self._crew.client, self._answers.append)
        return await driver.run(workload)

    async def progress(self, since: int) -> list[Answer]:
        """Answers of the `run` under way, from number `since` on, in the order they came."""
        return self._answers[since:]

    async def reset_trace(self) -> None:
        """Forget what happened so far: start-up is not part of a measurement."""
        self._node.trace.records.clear()

    async def lateness(self) -> list[tuple[str, int]]:
        """(request id, how late) of every run and delivery since `reset_trace`."""
        records = self._node.trace.records
        return [
            (r.request_id if isinstance(r, Delivered) else "", r.late_ns)
            for r in records
            if isinstance(r, Delivered | Ran)
        ]

    async def serve_http(self, host: str, port: int, settings: "GatewaySettings") -> str:
        """Listen; returns the URL."""
        # Here and not above: only one node of all needs a web framework, and it takes long to load.
        from cluster.gateway.http.server import serve

        assert self._crew.client is not None, "asked of the gateway's node"
        self._server = serve(self._crew.client, host, port, settings)
        await self._server.start()
        return self._server.url

    async def stop_http(self) -> None:
        if self._server is not None:
            await self._server.stop()
            self._server = None

    async def stop(self) -> None:
        await self.stop_http()
        await self._node.crash()
        if self._alone:
            self._host.close()
