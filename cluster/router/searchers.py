"""Who scans: each memory server its own part, or a chip all that the servers send it."""

from collections.abc import Mapping, Sequence

from cluster.retrieval.spread import merge
from cluster.router.machine.chips import ChipState
from cluster.router.wire import Wire
from workers.errors import PeerDead
from workers.memory.hit import Hit
from workers.wire.calls import Pending
from workers.wire.kinds.memory import Hits, Search
from workers.wire.kinds.shipping import SearchShipped

NO_CHIP = "no chip lives that could search"


class Near:
    """All servers at once, each scans its own part; what they have together, query by query."""

    def __init__(self, wire: Wire, servers: Sequence[str]) -> None:
        self.wire, self.servers = wire, servers

    async def ask(self, search: Search, deadline_ns: int, request_id: str) -> list[list[Hit]]:
        pending: list[Pending[Hits]] = []
        try:
            for server in self.servers:
                call = await self.wire.ask_hits(server, search, deadline_ns, request_id)
                pending.append(call)
            told = [(await call.reply()).hits for call in pending]
            return [merge(parts, search.top_k) for parts in zip(*told, strict=True)]
        finally:
            for call in pending:
                call.abandon()


class Shipped(Near):
    """One chip scans all that the servers send it. Chips take turns; `turn` is this search's."""

    def __init__(
        self, wire: Wire, servers: Sequence[str], chips: Mapping[str, ChipState], turn: int
    ) -> None:
        super().__init__(wire, servers)
        self._chips, self._turn = chips, turn

    async def ask(self, search: Search, deadline_ns: int, request_id: str) -> list[list[Hit]]:
        """Where a chip dies, the next one is asked. Raises PeerDead where none lives, or a server
        does not.
        """
        content = SearchShipped(
            search.store,
            search.top_k,
            search.queries,
            tuple(self.servers),
            search.first,
            search.stop,
        )
        for _ in range(len(self._chips)):
            chip = self._chip()
            try:
                told = await self.wire.hits_shipped(chip, content, deadline_ns, request_id)
                return [list(hits) for hits in told.hits]
            except PeerDead:
                if self._chips[chip].alive:  # then it was a server
                    raise
        raise PeerDead(NO_CHIP)

    def _chip(self) -> str:
        living = [c.name for c in self._chips.values() if c.alive and not c.is_draining]
        if not living:
            raise PeerDead(NO_CHIP)
        return living[self._turn % len(living)]
