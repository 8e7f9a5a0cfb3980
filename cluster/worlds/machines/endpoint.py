"""Where a cluster's gateway listens: one endpoint, whoever asked for it."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cluster.worlds.machines.fleet import Fleet
from cluster.worlds.raising import END_TIMEOUT_S

if TYPE_CHECKING:
    from cluster.gateway.settings import GatewaySettings

# Between two tries to listen again: a port may be taken for a while.
RETRY_S = 2.0
LISTEN_S = 30.0


@dataclass(frozen=True, slots=True)
class Asked:
    """host   None: where the gateway's machine is reached, whichever that is
    port   0 until one is had
    """

    host: str | None
    port: int
    settings: "GatewaySettings"


class Endpoint:
    """gateway   the node that listens
    address   says where that node's machine is reached
    url       where it listens; "" while it does not
    problem   why it does not, where it should; else ""
    """

    def __init__(self, fleet: Fleet, gateway: str, address: Callable[[], str]) -> None:
        self._fleet, self._gateway, self._address = fleet, gateway, address
        self.url = self.problem = ""
        self._asked: Asked | None = None
        self._changing = asyncio.Lock()
        self._again: asyncio.Task[None] | None = None

    async def serve(self, host: str | None, port: int, settings: "GatewaySettings") -> str:
        """Let the gateway listen, also its next incarnations; returns the URL. One that listens
        already, and is as was asked, goes on; port 0 asks for any. Raises OSError, and ValueError
        where it is not.
        """
        async with self._changing:
            if self._asked is not None and self.url:
                self._check_same(host, port, settings)
            else:
                await self._listen(Asked(host, port, settings))
            return self.url

    def _check_same(self, host: str | None, port: int, settings: "GatewaySettings") -> None:
        assert self._asked is not None
        now = self._asked
        where, is_where = (host, port or now.port), (now.host, now.port)
        if where != is_where or settings != now.settings:
            said = f" --host {host}" if host else ""
            what = "other settings" if where == is_where else f"{said} --port {port}".strip()
            alike = f" --host {now.host}" if now.host else ""
            raise ValueError(
                f"{what}: the cluster is served already, at {self.url}, and whoever asked for that "
                f"relies on it: ask with{alike} --port {now.port} and the same settings, or end "
                "that `perfuse serve --attach` first"
            )

    async def _listen(self, asked: Asked) -> None:
        host, port = asked.host or self._address(), asked.port
        self.url = await self._fleet.ask(
            self._gateway, "serve_http", host, port, asked.settings, timeout_s=LISTEN_S
        )
        bound = int(self.url.rpartition(":")[2])
        self._asked, self.problem = Asked(asked.host, bound, asked.settings), ""

    def came_back(self) -> None:
        """The gateway's next incarnation listens as the last one did, as soon as it can."""
        if self._asked is not None:
            self.end()
            self.url, self.problem = "", "it is not served yet: the gateway has just come back"
            self._again = asyncio.get_running_loop().create_task(self._listen_again())

    async def _listen_again(self) -> None:
        while True:
            async with self._changing:
                if self._asked is None or self.url:
                    return
                try:
                    await self._listen(self._asked)
                except Exception as error:  # whatever it is, it is told, and may pass
                    self.problem = f"it is not served: {error}"
            await asyncio.sleep(RETRY_S)

    async def stop(self) -> None:
        """Let open answers end, then close."""
        async with self._changing:
            self.url, self.problem, self._asked = "", "", None
            await self._fleet.ask(self._gateway, "stop_http", timeout_s=END_TIMEOUT_S["stop_http"])

    def end(self) -> None:
        """Nothing is tried any more."""
        if self._again is not None:
            self._again.cancel()
