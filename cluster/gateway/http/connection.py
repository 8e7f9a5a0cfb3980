"""One connection: what ends it, beside what uvicorn knows.

A client may say that it sends no more and still read: curl and HTTP/1.0 tools do. TCP tells nobody
whether it reads until something is sent: only then one that has gone answers with a reset. So the
status line begins ahead of time, character by character, since each begins alike; and where a
stream has begun, comments are sent, which its readers skip.
"""

import asyncio
from typing import Any

import h11
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

CONNECTION = "perfuse.connection"  # key of the connection in the ASGI scope

# Every answer of h11 begins so.
_BEGINNING = b"HTTP/1.1 "
_COMMENT = b":\n\n"
# The reset is here when the next of them is sent: on this machine at once, else after a round trip.
_DELAYS_S = (0.002, 0.02, 0.1, 0.5, 2.0, 5.0, 10.0)


class Connection(H11Protocol):
    """`is_stream`: comments may stand between what its present response sends."""

    def __init__(self, *arguments: Any, head_timeout_s: float, **more: Any) -> None:
        """head_timeout_s   for a request's first line and headers to arrive; what comes behind them
        has its own
        """
        super().__init__(*arguments, **more)
        self._head_timeout_s = head_timeout_s
        self._head_timer: asyncio.TimerHandle | None = None
        self.is_stream = False
        self._has_ended = False
        self._ahead: _Ahead | None = None
        self._look: asyncio.TimerHandle | None = None
        inner = self.app

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            scope[CONNECTION] = self
            await inner(scope, receive, send)

        self.app = app

    def abort(self) -> None:
        """Close, whatever is unsent."""
        self.transport.abort()

    def eof_received(self) -> bool | None:  # type: ignore[override]
        """True: the client sends no more, and may read. Without a whole request it has gone."""
        cycle: RequestResponseCycle | None = self.cycle  # None between requests
        if cycle is None or cycle.response_complete or cycle.more_body:
            return None
        self._has_ended = True
        self._begin_looking()
        return True

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._watch_head()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch_head()

    def _watch_head(self) -> None:
        """From the first byte of a request, or the connection's beginning, until it is known what
        is asked. Between requests uvicorn's timer runs.
        """
        if self.conn.their_state is not h11.IDLE or self.transport.is_closing():
            self._end_head()
        elif self._head_timer is None:
            self._head_timer = self.loop.call_later(self._head_timeout_s, self._head_is_late)

    def _head_is_late(self) -> None:
        self._head_timer = None
        if self.conn.their_state is h11.IDLE:
            self.transport.close()

    def _end_head(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def connection_lost(self, exc: Exception | None) -> None:
        self._end_looking()
        self._end_head()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        self._end_looking()
        self.is_stream = False
        super().on_response_complete()
        if not self._has_ended:
            return
        if self.cycle.response_complete or self.cycle.more_body:
            self.transport.close()
        else:  # another request had come with it, whole
            self._begin_looking()

    def _begin_looking(self) -> None:
        self._ahead = None
        if not self.cycle.response_started:  # else its status line has been written as usual
            self._ahead = _Ahead(self.transport)
            self.cycle.transport = self._ahead  # type: ignore[assignment]
        self._look_whether_it_reads(0)

    def _end_looking(self) -> None:
        if self._look is not None:
            self._look.cancel()
            self._look = None

    def _look_whether_it_reads(self, number: int) -> None:
        if self.transport.is_closing():
            return
        if not self.cycle.response_started:
            assert self._ahead is not None, "it waits since before the response"
            self._ahead.begin()
        elif self.is_stream and not self.flow.write_paused:
            self.transport.write(self.conn.send(h11.Data(data=_COMMENT)))
        delay_s = _DELAYS_S[min(number, len(_DELAYS_S) - 1)]
        self._look = self.loop.call_later(delay_s, self._look_whether_it_reads, number + 1)


class _Ahead:
    """A transport on which a response may begin before it is known."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._num_sent, self._is_known = 0, False

    def begin(self) -> None:
        """One more character of what comes in any case."""
        if not self._is_known and self._num_sent < len(_BEGINNING):
            self._transport.write(_BEGINNING[self._num_sent : self._num_sent + 1])
            self._num_sent += 1

    def write(self, data: bytes) -> None:
        if not self._is_known:
            self._is_known = True
            assert data.startswith(_BEGINNING), data[:20]
            data = data[self._num_sent :]
        self._transport.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)
