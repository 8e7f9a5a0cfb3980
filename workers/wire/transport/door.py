"""The door of a node, at which peers introduce themselves, and how one knocks at another's.

Strangers cost little: only so many are heard at once, each has so long to prove itself, and whoever
does not is told why, where it can understand that, and is sent away.
"""

import asyncio
import logging
import os
import shutil
import socket
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

from workers.wire.transport.handshake import HandshakeError, refuse
from workers.wire.transport.limits import CONNECT_TIMEOUT_S

log = logging.getLogger(__name__)

# Streams that have not proved themselves yet; a cluster that starts has one for each of its peers.
STRANGERS_MAX = 256
UNIX = "unix:"
# A machine that vanished without a word is noticed after so long: idle time, then probes.
KEEPALIVE_S, KEEPALIVE_PROBES, PROBE_S = 10, 3, 3

ENDS = (OSError, asyncio.IncompleteReadError)  # how a stream ends that should not
Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]
OnKnock = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[bool]]


class Door:
    """on_knock   hears out one stranger; the stream is closed unless it returns True.
    port       where to listen on `host`; 0: the system chooses
    """

    def __init__(
        self, host: str, on_knock: OnKnock, *, unix: bool, folder: Path | None, port: int = 0
    ) -> None:
        self.num_refused = 0
        self.last_refusal = ""
        self._host, self._port, self._unix, self._parent = host, port, unix, folder
        self._on_knock = on_knock
        self._folder = ""  # the private one, of the unix socket
        self._server: asyncio.Server | None = None
        self._strangers: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def open(self) -> str:
        """Begin to listen; returns "host:port" or "unix:path". Raises OSError if it cannot."""
        if self._unix:
            self._folder = tempfile.mkdtemp(prefix="perfuse-", dir=self._parent)
            path = str(Path(self._folder) / "door")
            self._server = await asyncio.start_unix_server(self._knocked, path)
            os.chmod(path, 0o600)
            return UNIX + path
        try:
            self._server = await asyncio.start_server(self._knocked, self._host, self._port)
        except OSError as error:
            where = f"{self._host}:{self._port}"
            raise OSError(f"cannot listen on {where!r}: {error}") from error
        host, port = self._server.sockets[0].getsockname()[:2]
        return f"{host}:{port}"

    async def close(self) -> None:
        """Let nobody in any more; safe to call twice."""
        if self._server is not None:
            self._server.close()
        strangers = dict(self._strangers)
        for task in strangers:
            task.cancel()
        await asyncio.gather(*strangers, return_exceptions=True)
        for writer in strangers.values():  # also of a task that had not begun
            writer.close()
        await asyncio.sleep(0)  # streams that were closed just now are gone after this
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _knocked(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._strangers) >= STRANGERS_MAX:
            self._refused(f"{STRANGERS_MAX} others are being heard")
            writer.close()
            return
        _keep_alive(writer)
        task = asyncio.ensure_future(self._hear(reader, writer))
        self._strangers[task] = writer

    async def _hear(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        kept = False
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                kept = await self._on_knock(reader, writer)
        except HandshakeError as error:
            self._refused(str(error))
            refuse(writer, str(error))
        except ENDS as error:  # a TimeoutError as well
            self._refused(f"it did not finish: {type(error).__name__}: {error}")
        finally:
            if not kept:
                writer.close()
            current = asyncio.current_task()
            assert current is not None, "a coroutine runs in a task"
            self._strangers.pop(current, None)

    def _refused(self, reason: str) -> None:
        """Somebody was sent away."""
        self.num_refused += 1
        self.last_refusal = reason
        log.info("a stream was refused: %s", reason)


async def knock(address: str) -> Stream:
    """A stream to the door at an address. Raises OSError where nobody listens."""
    if address.startswith(UNIX):
        return await asyncio.open_unix_connection(address.removeprefix(UNIX))
    host, _, port = address.rpartition(":")
    if not port.isdecimal():
        raise OSError(f'{address!r} is no address: it should be "host:port" or "unix:path"')
    reader, writer = await asyncio.open_connection(host, int(port))
    _keep_alive(writer)
    return reader, writer


def _keep_alive(writer: asyncio.StreamWriter) -> None:
    """Let the kernel ask now and then whether a silent machine is still there."""
    found: socket.socket = writer.get_extra_info("socket")
    if found.family == socket.AF_UNIX:
        return
    found.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    found.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_S)
    found.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, KEEPALIVE_PROBES)
    found.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, PROBE_S)
