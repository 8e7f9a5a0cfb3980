"""Requests that clients have named: one name is one request, and has one reader."""

from collections.abc import Callable
from dataclasses import dataclass

from cluster.gateway.resume import OtherBody

# A name is kept for so long after its answer has ended, and so many of them: whoever sends another
# body under it meanwhile has most likely mistaken it.
KEPT_NS, KEPT_MAX = 60 * 10**9, 4096


@dataclass(frozen=True, slots=True)
class _Open:
    fingerprint: str
    take_over: Callable[[], None]


class OpenNames:
    """`now_ns` is a monotonic clock."""

    def __init__(self, now_ns: Callable[[], int]) -> None:
        self._now_ns = now_ns
        self._open: dict[str, _Open] = {}
        self._ended: dict[str, tuple[str, int]] = {}  # the longest ended first

    def __len__(self) -> int:
        return len(self._open) + len(self._ended)

    def enter(self, name: str, fingerprint: str, take_over: Callable[[], None]) -> None:
        """A reader begins. An earlier one of the same request is told to end.

        take_over   called when a later reader of the request has come

        Raises OtherBody.
        """
        self._forget()
        before = self._open.get(name)
        known = before.fingerprint if before else self._ended.get(name, (fingerprint,))[0]
        if known != fingerprint:
            raise OtherBody(
                f"X-Request-Id {name!r} is that of a request with another body, which is under way "
                "or has just ended: give each request an id of its own",
                param="X-Request-Id",
            )
        self._ended.pop(name, None)
        self._open[name] = _Open(fingerprint, take_over)
        if before is not None:
            before.take_over()

    def leave(self, name: str, take_over: Callable[[], None]) -> None:
        """That reader has ended, however; nothing where another has taken over."""
        found = self._open.get(name)
        if found is not None and found.take_over == take_over:
            del self._open[name]
            self._ended[name] = found.fingerprint, self._now_ns()
            self._forget()

    def _forget(self) -> None:
        due_ns = self._now_ns() - KEPT_NS
        while self._ended:
            name, (_, ended_ns) = next(iter(self._ended.items()))
            if len(self._ended) <= KEPT_MAX and ended_ns > due_ns:
                return
            del self._ended[name]
