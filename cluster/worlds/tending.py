"""What a cluster's gateway is asked for and only its driver can do: restart its nodes in turn."""

from collections.abc import Callable
from typing import Any

from cluster.worlds.live import LiveWorld
from workers.errors import PerfuseError


class Tending:
    """`look` from time to time; it waits for nobody but while nodes restart.

    is_ended   whether the driver was told to stop: then no further node restarts
    """

    def __init__(self, world: LiveWorld, is_ended: Callable[[], bool]) -> None:
        self._world, self._is_ended = world, is_ended
        self._asked: Any = None  # of the gateway, without answer so far

    def look(self) -> None:
        """Raises PeerDead where the gateway is gone."""
        gateway = self._world.gateway
        asked = self._asked or self._world.begin(gateway, "restart_wanted")
        if not self._world.is_answered(asked, 0.0):
            self._asked = asked
            return
        self._asked = None
        if self._world.result(asked):
            self._restart_each(gateway)

    def _restart_each(self, gateway: str) -> None:
        def step(what: str) -> None:
            if self._is_ended():
                raise TimeoutError(f"the command that serves was told to end before {what}")
            self._world.ask(gateway, "restart_step", what)

        error = ""
        try:
            self._world.restart_each(step)
        except (PerfuseError, TimeoutError) as failed:
            error = str(failed)
        self._world.ask(gateway, "restart_ended", error)
