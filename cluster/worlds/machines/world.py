"""A cluster on many machines as a driver has it: the same questions as to any live world."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import ray

from cluster.worlds.live import LiveWorld, quiet
from cluster.worlds.machines import names
from cluster.worlds.machines.following import follow
from cluster.worlds.machines.same import check_same
from cluster.worlds.machines.setup import Setup
from cluster.worlds.machines.standing import find_keeper
from cluster.worlds.raising import OnStep
from configs.schema import Scenario
from workers.errors import PeerDead

if TYPE_CHECKING:
    from cluster.gateway.settings import GatewaySettings

ASK_S = 60.0


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
        return ray.get_actor(name, namespace=names.NAMESPACE).ask.remote(question, *arguments)

    def is_answered(self, begun: Any, timeout_s: float) -> bool:
        return bool(ray.wait([begun], timeout=timeout_s)[0])

    def result(self, begun: Any, timeout_s: float | None = None) -> Any:
        try:
            return ray.get(begun, timeout=timeout_s)
        except ray.exceptions.RayActorError as error:
            raise PeerDead("a node is gone: its process ended", node="") from error

    def kill(self, node: str) -> None:
        self._of_keeper("kill", node)

    def revive(self, node: str) -> None:
        if not self._of_keeper("revive", node):
            raise PeerDead(f"{node} did not come back", node=node)

    def check_serves(self) -> None:
        """The keeper looks after gateway and router; there is no more to say than that it lives."""
        self._of_keeper("epochs")

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
        try:
            follow(self._keeper, self._keeper.scale.remote(dict(counts)), told, on_step)
        except ray.exceptions.RayTaskError as error:
            raise error.cause from None
        self._look_again()

    def _look_again(self) -> None:
        """Somebody may have scaled it."""
        self.setup = self._of_keeper("setup")
        self.blueprint = self.setup.blueprint

    def serve(self, host: str, port: int, settings: "GatewaySettings") -> str:
        """Let the gateway listen, whoever goes on asking; returns the URL."""
        url: str = self._of_keeper("serve", host, port, settings)
        return url

    @property
    def gateway_address(self) -> str:
        """Where the gateway's machine is reached."""
        return str(self._of_keeper("gateway_address"))

    def stop_serving(self) -> None:
        self._of_keeper("stop_serving", timeout_s=None)

    def check_same(self, asked: Scenario) -> None:
        """Raises ValueError where this cluster, as it stands now, is not what a scenario means."""
        self._look_again()
        check_same(self.blueprint.scenario, asked)

    def status(self) -> dict[str, Any]:
        """See `Keeper.status`."""
        told: dict[str, Any] = self._of_keeper("status")
        return told

    def _of_keeper(self, question: str, *arguments: Any, timeout_s: float | None = ASK_S) -> Any:
        try:
            asked = getattr(self._keeper, question).remote(*arguments)
            return ray.get(asked, timeout=timeout_s)
        except ray.exceptions.RayTaskError as error:
            raise error.cause from None
        except ray.exceptions.RayActorError as error:
            raise PeerDead(
                f"nothing holds cluster {self.name!r} together any more: `perfuse down {self.name}`"
                " clears what is left of it",
                node="",
            ) from error


def attached(name: str) -> AttachedWorld:
    """The cluster of that name. Raises PeerDead where only remains are left of it."""
    keeper = find_keeper(name)
    if keeper is None:
        raise PeerDead(
            f"nothing holds cluster {name!r} together any more: `perfuse down {name}` clears what "
            "is left of it",
            node="",
        )
    try:
        setup: Setup = ray.get(keeper.setup.remote(), timeout=ASK_S)
    except (ray.exceptions.RayError, ray.exceptions.GetTimeoutError) as error:
        raise PeerDead(f"cluster {name!r} does not answer: {error}", node="") from error
    return AttachedWorld(name, keeper, setup)
