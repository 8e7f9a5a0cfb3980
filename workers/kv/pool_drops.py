"""What a chip tells the memory servers of KV that it distrusts: the pool gives it to nobody more.

Whose numbers were not finite may have read them from blocks that it shares, and these may have come
from the pool, or gone there: whoever was given them next would fail as well.
"""

from collections.abc import Callable
from collections.abc import Sequence as Seq

from workers.errors import DeadlineExceeded, PerfuseError
from workers.kv.pool_client import hash_columns
from workers.node import Node
from workers.wire.kinds.kv import PoolDrop
from workers.wire.port import Port


class PoolDrops:
    """forget   what this chip knows to be in the pool: it may be offered again, once it is sound"""

    def __init__(
        self,
        node: Node,
        port: Port,
        servers: tuple[str, ...],
        timeout_ns: int,
        forget: Callable[[Seq[bytes]], None],
    ) -> None:
        self._node, self._port = node, port
        self._servers, self._timeout_ns, self._forget = servers, timeout_ns, forget

    def distrust(self, hashes: Seq[bytes]) -> None:
        """Does not wait."""
        if hashes:
            self._node.spawn(self._tell_twice(hashes), "pool drop")

    async def _tell_twice(self, hashes: Seq[bytes]) -> None:
        """The second time no put from before is on its way any more."""
        await self._tell(hashes)
        await self._node.clock.wait_until(self._node.clock.now() + self._timeout_ns)
        self._forget(hashes)
        await self._tell(hashes)

    async def _tell(self, hashes: Seq[bytes]) -> None:
        """Which server has them depends on who put them: all are told, each until it hears."""
        waiting = list(self._servers)
        while waiting:
            waiting = [server for server in waiting if not await self._hears(server, hashes)]

    async def _hears(self, server: str, hashes: Seq[bytes]) -> bool:
        """A dead one has nothing to drop; but what lies in a file outlives it."""
        deadline_ns = self._node.clock.now() + self._timeout_ns
        try:
            await self._port.call(server, PoolDrop(hash_columns(hashes)), deadline_ns=deadline_ns)
        except PerfuseError as error:
            now_ns = self._node.clock.now()
            self._node.trace.note(now_ns, "pool failed", "pool_drop", error.message)
            return not isinstance(error, DeadlineExceeded)
        return True
