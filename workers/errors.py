"""What a peer, a request or the clock can do to us. Broken invariants are asserts, not these."""


class PerfuseError(Exception):
    """Base of all errors that cross a wire: `code` is stable, `status` a fitting HTTP status."""

    code = "internal_error"
    status = 500

    def __init__(self, message: str, **facts: object) -> None:
        super().__init__(message)
        self.message = message
        self.facts = facts


class DeadlineExceeded(PerfuseError):
    """Emulated time passed the deadline before the answer came."""

    code, status = "deadline_exceeded", 504


class PeerDead(PerfuseError):
    """The peer's node is gone, or is another incarnation by now."""

    code, status = "peer_dead", 503


class CorruptMessage(PerfuseError):
    """A frame's checksum does not fit what it carries, or it cannot be parsed."""

    code, status = "corrupt_message", 502


class Cancelled(PerfuseError):
    """The user went away."""

    code, status = "cancelled", 499


class InvalidRequest(PerfuseError):
    """A parameter is malformed or out of range."""

    code, status = "invalid_request_error", 400


class ContextTooLong(InvalidRequest):
    """Prompt and max_tokens do not fit the model's context."""

    code, status = "context_length_exceeded", 400


class NotFound(PerfuseError):
    """No such model or vector store."""

    code, status = "not_found", 404


class QueueFull(PerfuseError):
    """Admission refused; facts carry `retry_after_s`."""

    code, status = "queue_full", 429


class Draining(PerfuseError):
    """The cluster finishes what it has and takes nothing new."""

    code, status = "draining", 503


def _subclasses(cls: type[PerfuseError]) -> list[type[PerfuseError]]:
    return [cls, *(s for child in cls.__subclasses__() for s in _subclasses(child))]


def to_body(error: BaseException) -> dict[str, object]:
    """The error as a message body; what is not ours becomes an internal error naming its type."""
    if isinstance(error, PerfuseError):
        return {"code": error.code, "message": error.message, "facts": error.facts}
    return {"code": "internal_error", "message": f"{type(error).__name__}: {error}", "facts": {}}


def from_body(body: dict[str, object]) -> PerfuseError:
    """The reverse of `to_body`: the same class where the code is known."""
    by_code = {cls.code: cls for cls in _subclasses(PerfuseError)}
    cls = by_code.get(str(body["code"]), PerfuseError)
    facts = body.get("facts")
    return cls(str(body["message"]), **(facts if isinstance(facts, dict) else {}))
