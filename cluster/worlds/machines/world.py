"""A cluster on many machines as a driver has it: the same questions as to any live world."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import ray

from cluster.worlds.live import LiveWorld, quiet
from cluster.worlds.machines import names
from cluster.worlds.machines.answers import said
from cluster.worlds.machines.following import follow
from cluster.worlds.machines.same import check_same
from cluster.worlds.machines.setup import Setup
from cluster.worlds.machines.standing import find_keeper
from cluster.worlds.raising import OnStep
from configs.schema import Scenario
from workers.errors import NotFound, PeerDead
from workers.wire.fabric.counts import NetworkCounts, together

if TYPE_CHECKING:
    from cluster.gateway.settings import GatewaySettings

ASK_S = 60.0
DRAIN_S = 150.0  # a gateway's own bound, and some
FOREVER_S = 1e6  # a workload takes as long as it takes


class AttachedWorld(LiveWorld):
    """A cluster that stands, and goes on when this process ends. Use `attached`."""

    def __init__(self, name: str, keeper: Any, setup: Setup) -> None:
        super().__init__(setup.blueprint)
        self.name, self.setup, self._keeper = name, setup, keeper

    # -- LiveWorld ---------------------------------------------------------------------------------

    def begin(self, node: str, question: str, *arguments: Any) -> Any:
        epochs = self._of_keeper("epochs")
        if node not in epochs:
            raise PeerDead(f"{node} is gone: `perfuse status {self.name}` says why", node=node)
        name = names.node(self.name, node, epochs[node])
        try:
            actor = ray.get_actor(name, namespace=names.NAMESPACE)
        except ValueError:
            raise PeerDead(f"{node} is gone: its process ended", node=node) from None
        return node, actor.ask.remote(question, *arguments)

    def is_answered(self, begun: Any, timeout_s: float) -> bool:
        _, reference = begun
        return bool(ray.wait([reference], timeout=timeout_s)[0])

    def result(self, begun: Any, timeout_s: float | None = None) -> Any:
        node, reference = begun
        return said(reference, node, FOREVER_S if timeout_s is None else timeout_s)

    def kill(self, node: str) -> None:
        self._of_keeper("kill", node)

    def revive(self, node: str) -> None:
        if not self._of_keeper("revive", node):
            raise PeerDead(f"{node} did not come back", node=node)

    def restart(self, node: str) -> None:
        """The keeper brings back who dies; it restarts nobody who lives."""
        raise NotFound(f"{node}: nodes of world ray are not restarted in turn yet", node=node)

    def check_serves(self) -> None:
        """The keeper looks after gateway and router; there is no more to say than that it lives."""
        self._of_keeper("epochs")

    def network_counts(self) -> NetworkCounts | None:
        """The gateway's machine has the first word on links."""
        if self.blueprint.scenario.cluster.network is None:
            return None
        known = self.ask_all("crossed")
        return together([known.pop(self.gateway), *known.values()])

    # ----------------------------------------------------------------------------------------------

    def ask_all(self, question: str, *arguments: Any) -> dict[str, Any]:
        """One question to every node that there is now, at once; one that is removed meanwhile is
        left out.
        """
        begun, answers = {}, {}
        for node in self._of_keeper("nodes"):
            with self._unless_removed(node):
                begun[node] = self.begin(node, question, *arguments)
        for node, one in begun.items():
            with self._unless_removed(node):
                answers[node] = self.result(one)
        return answers

    @contextmanager
    def _unless_removed(self, node: str) -> Iterator[None]:
        try:
            yield
        except PeerDead:
            if node in self._of_keeper("nodes"):
                raise

    def scale(self, counts: Mapping[str, int], on_step: OnStep = quiet) -> None:
        """So many nodes of these groups from now on; see `Scaler.scale`. It goes on when this
        process ends meanwhile.
        """
        told = len(self._of_keeper("steps", 0))
        follow(self._keeper, self._keeper.scale.remote(dict(counts)), told, on_step)
        self._look_again()

    def _look_again(self) -> None:
        """Somebody may have scaled it."""
        self.setup = self._of_keeper("setup")
        self.blueprint = self.setup.blueprint

    def serve(self, host: str | None, port: int, settings: "GatewaySettings") -> str:
        """Let the gateway listen, whoever goes on asking; returns the URL. `host` None: where its
        machine is reached.
        """
        url: str = self._of_keeper("serve", host, port, settings)
        return url

    def serving(self) -> tuple[str, str]:
        """See `Keeper.serving`."""
        url, problem = self._of_keeper("serving")
        return url, problem

    def stop_serving(self) -> None:
        self._of_keeper("stop_serving", timeout_s=DRAIN_S)

    def check_same(self, asked: Scenario) -> None:
        """Raises ValueError where this cluster, as it stands now, is not what a scenario means."""
        self._look_again()
        check_same(self.blueprint.scenario, asked)

    def status(self) -> dict[str, Any]:
        """See `Keeper.status`."""
        told: dict[str, Any] = self._of_keeper("status")
        return told

    def _of_keeper(self, question: str, *arguments: Any, timeout_s: float = ASK_S) -> Any:
        asked = getattr(self._keeper, question).remote(*arguments)
        return said(asked, _keeper_of(self.name), timeout_s)


def _keeper_of(name: str) -> str:
    return f"what holds cluster {name!r} together (`perfuse down {name}` clears what is left of it)"


def attached(name: str) -> AttachedWorld:
    """The cluster of that name. Raises PeerDead where only remains are left of it."""
    keeper = find_keeper(name)
    if keeper is None:
        raise PeerDead(f"{_keeper_of(name)} is gone", node="")
    setup: Setup = said(keeper.setup.remote(), _keeper_of(name), ASK_S)
    return AttachedWorld(name, keeper, setup)
