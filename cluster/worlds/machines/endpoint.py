"""Where a cluster's gateway listens: one endpoint, whoever asked for it."""

import asyncio
from typing import TYPE_CHECKING

from cluster.worlds.machines.fleet import Fleet
from cluster.worlds.raising import END_TIMEOUT_S

if TYPE_CHECKING:
    from cluster.gateway.settings import GatewaySettings


class Endpoint:
    """gateway   the node that listens         url   where; "" while nobody is served"""

    def __init__(self, fleet: Fleet, gateway: str) -> None:
        self._fleet, self._gateway, self.url = fleet, gateway, ""
        self._serves: tuple[str, int, GatewaySettings] | None = None
        self._changing = asyncio.Lock()

    async def serve(self, host: str, port: int, settings: "GatewaySettings") -> str:
        """Let the gateway listen, also its next incarnations; returns the URL. One that listens
        already, and is as was asked, goes on; port 0 asks for any. Raises OSError, and ValueError
        where it is not.
        """
        async with self._changing:
            if self._serves is None:
                self.url = await self._listen(host, port, settings)
                self._serves = (host, int(self.url.rpartition(":")[2]), settings)
            else:
                self._check_same(host, port, settings)
            return self.url

    def _check_same(self, host: str, port: int, settings: "GatewaySettings") -> None:
        assert self._serves is not None
        now_host, now_port, now_settings = self._serves
        asked, now = (host, port or now_port), (now_host, now_port)
        if asked != now or settings != now_settings:
            what = "other settings" if asked == now else f"--host {host} --port {port}"
            raise ValueError(
                f"{what}: the cluster is served already, at {self.url}, and whoever asked for that "
                f"relies on it: ask with --host {now_host} --port {now_port} and the same "
                "settings, or end that `perfuse serve --attach` first"
            )

    async def _listen(self, host: str, port: int, settings: "GatewaySettings") -> str:
        url: str = await self._fleet.ask(self._gateway, "serve_http", host, port, settings)
        return url

    async def listen_again(self) -> None:
        """The gateway's next incarnation. Raises OSError where its port is taken by now: whoever
        serves again finds another.
        """
        async with self._changing:
            if self._serves is not None:
                serves, self._serves, self.url = self._serves, None, ""
                self.url = await self._listen(*serves)
                self._serves = serves

    async def stop(self) -> None:
        """Let open answers end, then close."""
        async with self._changing:
            self.url, self._serves = "", None
            await self._fleet.ask(self._gateway, "stop_http", timeout_s=END_TIMEOUT_S["stop_http"])
