"""Errors as OpenAI clients expect them: {"error": {"message", "type", "param", "code"}} and a
status.
"""

import math
from dataclasses import dataclass
from typing import Any

import orjson

from cluster.gateway.admin import NoKey, WrongKey
from cluster.gateway.resume import CannotResume, OtherBody, TakenOver
from workers.errors import (
    Cancelled,
    CorruptMessage,
    DeadlineExceeded,
    Draining,
    InvalidRequest,
    NotFinite,
    NotFound,
    PeerDead,
    PerfuseError,
    QueueFull,
)

# Status -> `type`. OpenAI documents the first four; clients branch on status, people read the type.
_TYPES = {
    429: "rate_limit_error",
    500: "internal_server_error",
    502: "internal_server_error",
    503: "service_unavailable_error",
    504: "timeout_error",
    408: "timeout_error",
}


# Nobody is told to stay away for longer, whatever was estimated.
RETRY_MAX_S = 60

# Whatever was sent, its error is short: of a name or value it shows at most 80 characters, and none
# has many of them.
_MESSAGE_MAX, _PARAM_MAX = 1000, 100


class BodyTooLarge(InvalidRequest):
    """More bytes than the gateway reads."""

    code = "request_too_large"


class WrongEncoding(InvalidRequest):
    """A packed body."""

    code = "unsupported_encoding"


class BodyTimeout(PerfuseError):
    """The body did not arrive in time."""

    code = "request_timeout"


class UnknownRoute(PerfuseError):
    """No such path."""

    code = "unknown_url"


class WrongMethod(PerfuseError):
    """The path exists, the method does not."""

    code = "method_not_allowed"


# Error -> HTTP status; the nearest class that is named here counts. Everything else is a 500.
_STATUSES: dict[type[PerfuseError], int] = {
    PerfuseError: 500,
    BodyTimeout: 408,
    BodyTooLarge: 413,
    Cancelled: 499,
    CannotResume: 409,
    CorruptMessage: 502,
    DeadlineExceeded: 504,
    Draining: 503,
    InvalidRequest: 400,
    NoKey: 403,
    NotFinite: 502,
    NotFound: 404,
    OtherBody: 409,
    PeerDead: 503,
    QueueFull: 429,
    TakenOver: 409,
    UnknownRoute: 404,
    WrongEncoding: 415,
    WrongKey: 401,
    WrongMethod: 405,
}


# Whoever gets one of these before any output was never let in.
REFUSALS = (Draining, InvalidRequest, NotFound, OtherBody, QueueFull)


def status_of(error: PerfuseError) -> int:
    """The HTTP status that fits an error."""
    return next(_STATUSES[cls] for cls in type(error).__mro__ if cls in _STATUSES)


@dataclass(frozen=True, slots=True)
class ErrorReply:
    """An error ready to be sent: as a whole response, or (`body` alone) as an event inside a
    stream.
    """

    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()


def reply(error: BaseException, request_id: str) -> ErrorReply:
    """What a user may know of `error`.

    Exceptions that are not ours, and internal errors that crossed a wire, carry the innards of the
    cluster in their message: users get the request id to quote instead; the log has the rest.
    """
    if not isinstance(error, PerfuseError) or status_of(error) == 500:
        message = f"internal error; quote request id {request_id} when you report it"
        return ErrorReply(500, _body(message, 500, None, PerfuseError.code))
    # 499 is what proxies log for a vanished client. A client that reads this has not vanished: we
    # cancelled it.
    status = 503 if isinstance(error, Cancelled) else status_of(error)
    param = error.facts.get("param")
    code = error.code
    if isinstance(error, NotFound) and param == "model":
        code = "model_not_found"
    headers: list[tuple[str, str]] = []
    if status in (429, 503):
        headers.append(("retry-after", str(_retry_after_s(error))))
    return ErrorReply(
        status,
        _body(error.message, status, str(param) if param else None, code),
        tuple(headers),
    )


def is_internal(error: BaseException) -> bool:
    """Whether the log should carry the traceback."""
    return not isinstance(error, PerfuseError) or status_of(error) == 500


def _retry_after_s(error: PerfuseError) -> int:
    asked = error.facts.get("retry_after_s")
    if isinstance(asked, int | float) and math.isfinite(asked):
        return min(RETRY_MAX_S, max(1, math.ceil(asked)))
    return 1


def _body(message: str, status: int, param: str | None, code: str) -> bytes:
    error: dict[str, Any] = {
        "message": message if len(message) <= _MESSAGE_MAX else message[:_MESSAGE_MAX] + "...",
        "type": _TYPES.get(status, "invalid_request_error"),
        "param": param and param[:_PARAM_MAX],
        "code": code,
    }
    return orjson.dumps({"error": error})
