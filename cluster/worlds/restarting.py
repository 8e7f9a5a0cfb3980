"""What a node is asked while the nodes of its cluster restart, one after the other
(`cluster.worlds.rolling`): by questions, since in most worlds it stands in a process of its own.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from cluster.gateway.entrance import Entrance
from workers.errors import PerfuseError

if TYPE_CHECKING:
    from cluster.gateway.http.server import GatewayServer
    from cluster.router.machine.state import RouterState
    from cluster.worlds.crew import Crew
    from workers.node import Node

QUESTIONS = (
    "door", "door_is", "is_quiet", "later", "is_named", "lengths", "longer",
    "restart_wanted", "restart_step", "restart_ended",
)  # fmt: skip
Door = Literal["hold", "release"]


class Restarting:
    """These questions of a seat."""

    node: "Node"
    crew: "Crew | None"
    _server: "GatewayServer | None"

    # -- on the gateway's node ---------------------------------------------------------------------

    @property
    def _door(self) -> Entrance:
        assert self.crew is not None, "the cluster serves"
        return self.crew.gateway.entrance

    async def door(self, deed: Door) -> None:
        """Let whoever comes from now on wait, or all of them in."""
        if deed == "hold":
            self._door.hold()
        else:
            self._door.release()

    async def door_is(self) -> tuple[int, int]:
        """How many wait there, and how many are asking the router to take them."""
        return self._door.num_held, self._door.num_asking

    async def is_quiet(self) -> bool:
        """Whether nothing is inside the cluster but what waits at the door."""
        assert self.crew is not None, "the cluster serves"
        try:
            held = await self.crew.gateway.held_everywhere()
        except PerfuseError:  # somebody is silent: ask again
            return False
        waiting = held.pop("readers"), held.pop("inside")
        return set(waiting) == {self._door.num_held} and not any(held.values())

    async def later(self, after_ns: int) -> None:
        """Answered when so much time is over."""
        await self.node.clock.wait_until(self.node.clock.now() + after_ns)

    async def restart_wanted(self) -> bool:
        """Whether an operator has asked for a rolling restart, which is done from now on."""
        return self._server is not None and self._server.desk.admin.restarts.take()

    async def restart_step(self, what: str) -> None:
        if self._server is not None:
            self._server.desk.admin.restarts.step(what)

    async def restart_ended(self, error: str) -> None:
        if self._server is not None:
            self._server.desk.admin.restarts.end(error)

    # -- on the router's node ----------------------------------------------------------------------

    async def is_named(self, workers: Sequence[str]) -> bool:
        """Whether a request was computed by one of these, and goes on elsewhere: it is lost with
        any of its chips.
        """
        here, requests = {*workers}, self._router_state.requests.values()
        placed = [request.placement for request in requests]
        return any(here & {*placement.chips} for placement in placed if placement is not None)

    async def lengths(self) -> dict[str, int]:
        """Tokens so far of what is computed."""
        return {
            name: len(request.stream.tokens)
            for name, request in self._router_state.requests.items()
            if request.placement is not None
        }

    async def longer(self, than: dict[str, int], by: int) -> bool:
        """Whether all of these that have not ended have so many more by now."""
        requests = self._router_state.requests
        open_ = [name for name in than if name in requests]
        return all(len(requests[name].stream.tokens) >= than[name] + by for name in open_)

    @property
    def _router_state(self) -> "RouterState":
        assert self.crew is not None, "the cluster serves"
        return self.crew.router.state
