"""What a peer, a request or the clock can do to us. Broken invariants are asserts, not these."""


class PerfuseError(Exception):
    """Base of all errors that cross a wire: `code` is stable."""

    code = "internal_error"

    def __init__(self, message: str, **facts: object) -> None:
        super().__init__(message)
        self.message = message
        self.facts = facts


class DeadlineExceeded(PerfuseError):
    """Emulated time passed the deadline before the answer came."""

    code = "deadline_exceeded"


class PeerDead(PerfuseError):
    """The peer's node is gone, or is another incarnation by now."""

    code = "peer_dead"


class CorruptMessage(PerfuseError):
    """A frame's checksum does not fit what it carries, or it cannot be parsed."""

    code = "corrupt_message"


class Cancelled(PerfuseError):
    """The user went away."""

    code = "cancelled"


class InvalidRequest(PerfuseError):
    """A parameter is malformed or out of range."""

    code = "invalid_request_error"


class ContextTooLong(InvalidRequest):
    """Prompt and max_tokens do not fit the model's context."""

    code = "context_length_exceeded"


class NotFinite(PerfuseError):
    """A request's own numbers are NaN or infinite: no token follows from them."""

    code = "not_finite"


class NotFound(PerfuseError):
    """No such model or vector store."""

    code = "not_found"


class QueueFull(PerfuseError):
    """Admission refused; facts carry `retry_after_s`."""

    code = "queue_full"


class Draining(PerfuseError):
    """The cluster finishes what it has and takes nothing new."""

    code = "draining"


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
