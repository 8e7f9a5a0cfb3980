"""How the router is, for health checks: they are answered soon, whatever is being done."""

import asyncio
from collections.abc import Awaitable, Callable

from cluster.gateway.client import ClusterState

# So long an answer of the router is waited for before what it last said will do.
PATIENCE_S = 0.05


class Pulse:
    """One question is open at a time, whoever wants to know.

    ask         the router; raises what `state` raises
    fresh_s     what it said is believed for so long, and waited for when nothing is believed
    now_ns      a monotonic clock
    """

    def __init__(
        self,
        ask: Callable[[], Awaitable[ClusterState]],
        fresh_s: float,
        now_ns: Callable[[], int],
    ) -> None:
        self._ask, self._fresh_s, self._now_ns = ask, fresh_s, now_ns
        self._asking: asyncio.Task[ClusterState] | None = None
        self._known: tuple[int, ClusterState] | None = None

    async def state(self) -> ClusterState:
        """Raises TimeoutError if the router does not answer, or whatever asking it raises."""
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._asked(), name="pulse")
        asking, known = self._asking, self._known
        if known is not None and self._now_ns() - known[0] < self._fresh_s * 1e9:
            await asyncio.wait((asking,), timeout=PATIENCE_S)
            if not asking.done():
                return known[1]
        return await asyncio.shield(asking)

    async def _asked(self) -> ClusterState:
        try:
            state = await asyncio.wait_for(self._ask(), self._fresh_s)
        except BaseException:
            self._known = None
            raise
        self._known = self._now_ns(), state
        return state

    async def close(self) -> None:
        """No question stays open."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.wait((self._asking,))
            if not self._asking.cancelled():
                self._asking.exception()  # it is nobody's any more
