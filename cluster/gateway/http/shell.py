"""The outermost layer: names the request, echoes its id, and lets no exception out."""

import logging

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cluster.gateway.errors import is_internal, reply
from cluster.gateway.http.body import linger
from cluster.gateway.naming import Name, Naming
from workers.errors import InvalidRequest

NAME = "perfuse.name"  # key of the request's Name in the ASGI scope

# Told before the body was read to its end.
_UNREAD = (413, 415)

log = logging.getLogger(__name__)


class ErrorResponse(Response):
    """An error. Where the body was not read to its end, the connection closes behind it."""

    def __init__(self, error: BaseException, request_id: str, linger_bytes: int = 0) -> None:
        if is_internal(error):
            log.error("request %s failed", request_id, exc_info=error)
        answer = reply(error, request_id)
        self._linger_bytes = linger_bytes
        headers = dict(answer.headers)
        if answer.status in (408, *_UNREAD):
            headers["connection"] = "close"
        super().__init__(answer.body, answer.status, headers, media_type="application/json")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self.status_code not in _UNREAD or not self._linger_bytes:
            await super().__call__(scope, receive, send)
            return
        await send(
            {
                "type": "http.response.start",
                "status": self.status_code,
                "headers": self.raw_headers,
            }
        )
        await send({"type": "http.response.body", "body": bytes(self.body), "more_body": True})
        await linger(receive, self._linger_bytes)
        await send({"type": "http.response.body", "body": b"", "more_body": False})


class Shell:
    def __init__(self, app: ASGIApp, naming: Naming) -> None:
        self._app = app
        self._naming = naming

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http", scope["type"]
        header = Headers(scope=scope).get("x-request-id")
        try:
            name = self._naming.name(header)
        except InvalidRequest as error:
            name = self._naming.name(None)
            await ErrorResponse(error, name.public)(scope, receive, _echo(send, name))
            return
        scope[NAME] = name
        echo = _echo(send, name)
        try:
            await self._app(scope, receive, echo)
        except Exception:
            # The framework has answered 500 and raises again for servers that log; we have logged.
            log.debug("request %s raised", name.public, exc_info=True)


def _echo(send: Send, name: Name) -> Send:
    async def echo(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [
                *message["headers"],
                (b"x-request-id", name.public.encode("ascii")),
            ]
        await send(message)

    return echo
