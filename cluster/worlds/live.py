"""What the live worlds have in common: a cluster on the wall clock, asked from outside."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from cluster.workload.build import Workload
from cluster.workload.driver import Answer
from cluster.worlds.blueprint import Blueprint
from cluster.worlds.raising import OnStep
from cluster.worlds.rolling import to_restart
from workers.errors import PeerDead
from workers.wire.fabric.counts import NetworkCounts
from workers.wire.membership import Member

PROGRESS_EVERY_S = 0.5


def quiet(step: str) -> None:
    """Nobody watches."""


class LiveWorld(ABC):
    """A cluster that stands. Its questions are `Seat`'s."""

    def __init__(self, blueprint: Blueprint) -> None:
        self.blueprint = blueprint
        self.members: list[Member] = []  # those who live
        self._epochs: dict[str, int] = {}  # of whoever was placed last
        self._asked: dict[str, Any] = {}  # node -> whether it still serves, without answer so far

    @abstractmethod
    def begin(self, node: str, question: str, *arguments: Any) -> Any:
        """Put a question to a node; `result` has the answer."""

    @abstractmethod
    def is_answered(self, begun: Any, timeout_s: float) -> bool:
        """Whether there is an answer; waits for it as long as that."""

    @abstractmethod
    def result(self, begun: Any, timeout_s: float | None = None) -> Any:
        """The answer, or what was raised instead; TimeoutError if neither comes in time."""

    @abstractmethod
    def kill(self, node: str) -> None:
        """The node dies without a word."""

    @abstractmethod
    def revive(self, node: str) -> None:
        """The next incarnation of a node that was killed joins."""

    @abstractmethod
    def restart(self, node: str) -> None:
        """A node that lives ends what it has and joins as its next incarnation; no request fails.
        Raises PeerDead where it, or a node that is needed for it, is gone.
        """

    def restart_each(self, on_step: OnStep) -> None:
        """Every node that can restarts, one after the other (`cluster.worlds.rolling`)."""
        for node in to_restart(self.blueprint):
            on_step(f"restarting {node}")
            self.restart(node)
            self._asked.pop(node, None)  # that one will not answer any more

    def _is_gone(self, node: str) -> None:
        self.members = [member for member in self.members if member.node != node]

    def _next_epoch(self, node: str) -> int:
        return self._epochs[node] + 1

    def ask(self, node: str, question: str, *arguments: Any, timeout_s: float | None = None) -> Any:
        """One question to one node; waits for the answer."""
        return self.result(self.begin(node, question, *arguments), timeout_s)

    def ask_gateway(self, question: str, *arguments: Any, timeout_s: float | None = None) -> Any:
        return self.ask(self.gateway, question, *arguments, timeout_s=timeout_s)

    def ask_all(self, question: str, *arguments: Any) -> dict[str, Any]:
        """One question to every node at once."""
        names = [node.name for node in self.blueprint.plan.nodes]
        begun = {name: self.begin(name, question, *arguments) for name in names}
        return {name: self.result(one) for name, one in begun.items()}

    def network_counts(self) -> NetworkCounts | None:
        """What has crossed the network between nodes; None where there is none."""
        if self.blueprint.scenario.cluster.network is None:
            return None
        counts: NetworkCounts | None = self.ask_gateway("crossed")
        return counts

    def run(self, workload: Workload, on_answer: Callable[[Answer], None]) -> list[Answer]:
        """Put a workload to the cluster from the gateway's node; tells of answers as they come."""
        begun = self.begin(self.gateway, "run", workload)
        num_told = 0
        while not self.is_answered(begun, PROGRESS_EVERY_S):
            for answer in self.ask_gateway("progress", num_told):
                on_answer(answer)
                num_told += 1
        answers: list[Answer] = self.result(begun)
        for answer in answers[num_told:]:
            on_answer(answer)
        return answers

    def check_serves(self) -> None:
        """Raises PeerDead if the endpoint can never answer again: nobody restarts its gateway or
        its router. One that is only slow to say so counts as alive.
        """
        for node, question in ((self.gateway, "serves"), (self._router, "pid")):
            if node not in [member.node for member in self.members]:
                raise PeerDead(f"{node} is gone: nothing can be served any more", node=node)
            begun = self._asked.pop(node, None) or self.begin(node, question)
            if not self.is_answered(begun, 0.0):
                self._asked[node] = begun
            elif self.result(begun) is False:
                raise PeerDead(f"the HTTP server on {node} has ended", node=node)

    @property
    def _router(self) -> str:
        return self.blueprint.node_of("router").name

    @property
    def gateway(self) -> str:
        """The node that serves."""
        return self.blueprint.node_of("gateway").name
