"""The listening server, inside a loop that somebody else runs."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import uvicorn

from cluster.gateway.admin import Admin, Faults
from cluster.gateway.client import RouterClient
from cluster.gateway.desk import Desk
from cluster.gateway.http.app import make_app
from cluster.gateway.http.connection import Connection
from cluster.gateway.http.listening import bound_what_waits, listen, notice_the_dead
from cluster.gateway.settings import GatewaySettings

_TICK_S = 1.0  # uvicorn renews its Date header at this pace
# Streams are drained before uvicorn shuts down; what is left are answers being written.
_CLOSE_S = 2


class GatewayServer:
    """`start` listens, `stop` drains. One start and one stop; `desk` is open to look at."""

    def __init__(
        self,
        client: RouterClient,
        host: str,
        port: int,
        settings: GatewaySettings,
        faults: Faults | None = None,
    ) -> None:
        self.desk = Desk(client, settings, admin=Admin(host, settings.admin_key, faults))
        self.host = host
        self._wanted_port = port
        self._port = 0
        self._serving: asyncio.Task[None] | None = None
        connection = partial(Connection, head_timeout_s=settings.body_timeout_s)
        config = uvicorn.Config(
            make_app(self.desk),
            http=connection,  # type: ignore[arg-type]  # makes one, as a class does
            ws="none",
            lifespan="off",
            log_config=None,  # logging belongs to whoever runs this process
            access_log=False,
            server_header=False,
            timeout_keep_alive=settings.keep_alive_s,
            timeout_graceful_shutdown=_CLOSE_S,
        )
        self._server = _Server(config)

    @property
    def port(self) -> int:
        """The real port, also where 0 was asked for. Known once started."""
        assert self._port, "not started"
        return self._port

    @property
    def is_serving(self) -> bool:
        """Started, and neither stopped nor ended by an error."""
        return self._serving is not None and not self._serving.done()

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    async def start(self) -> None:
        """Returns once connections are accepted; else raises as `listen` does."""
        assert self._serving is None, "started twice"
        listening = await listen(self.host, self._wanted_port)
        notice_the_dead(listening, self.desk.settings.stall_timeout_s)
        bound_what_waits(listening)
        self._port = int(listening.getsockname()[1])
        self._serving = asyncio.create_task(self._server.serve([listening]), name="gateway")
        up = asyncio.create_task(self._server.up.wait())
        await asyncio.wait((self._serving, up), return_when=asyncio.FIRST_COMPLETED)
        if not self._server.up.is_set():
            up.cancel()
            await self._serving
            raise RuntimeError("uvicorn ended before it had started")

    async def stop(self) -> None:
        """Refuse new generations, let open ones end (`drain_timeout_s`), then close everything."""
        if self._serving is None:
            return
        await self.desk.drain()
        self._server.end()
        await self._serving
        self._serving = None
        self.desk.aside.close()
        await self.desk.pulse.close()
        # Whoever has not read its answer by now never will; an open socket would outlive us.
        for connection in list(self._server.server_state.connections):
            transport = connection.transport
            if transport is not None:
                transport.abort()


def serve(
    client: RouterClient,
    host: str = "127.0.0.1",
    port: int = 0,
    settings: GatewaySettings | None = None,
    faults: Faults | None = None,
) -> GatewayServer:
    """A gateway before `client`, not yet started. Port 0 takes a free one."""
    return GatewayServer(client, host, port, settings or GatewaySettings(), faults)


class _Server(uvicorn.Server):
    """uvicorn without signal handlers and without its poll, ten times a second, for the end."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.up = asyncio.Event()
        self._end = asyncio.Event()

    def end(self) -> None:
        self.should_exit = True
        self._end.set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.up.set()

    async def main_loop(self) -> None:
        while not await self.on_tick(0):
            try:
                await asyncio.wait_for(self._end.wait(), _TICK_S)
            except TimeoutError:
                continue
