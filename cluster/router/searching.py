"""A search over all memory servers: each scans its part, and what may be found is kept."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cluster.retrieval.spread import merge
from cluster.router.machine.state import StoreState
from cluster.router.wire import Wire
from workers.errors import InvalidRequest
from workers.memory.hit import Hit
from workers.wire.calls import Pending
from workers.wire.kinds.memory import Hits

# An embedder has each n-gram of a text in memory at once: 40 MB for this.
QUERY_CHARS_MAX = 1 << 18

Query = NDArray[np.float32]  # [1, dim]


def check_query(query: str) -> None:
    """Raises InvalidRequest for more text than is compared with passages."""
    if len(query) > QUERY_CHARS_MAX:
        raise InvalidRequest(
            f"what is searched for has {len(query)} characters: at most {QUERY_CHARS_MAX} are "
            "compared with passages",
            param="query",
        )


async def find(
    wire: Wire,
    servers: Sequence[str],
    store: StoreState,
    query: Query,
    top_k: int,
    deadline_ns: int,
    request_id: str,
) -> list[Hit]:
    """The best `top_k` passages of the store's files, the best first. Raises DeadlineExceeded.

    Passages of files that are being added, or could not be, are with the servers and nobody's to
    find: where they take others' places, more are asked for.
    """
    asked = top_k
    while True:
        hits = await _ask(wire, servers, store.store_id, query, asked, deadline_ns, request_id)
        found = [hit for hit in hits if store.has(hit.passage_id)]
        if len(found) >= top_k or len(hits) < asked:
            return found[:top_k]
        asked *= 2


async def _ask(
    wire: Wire,
    servers: Sequence[str],
    store_id: str,
    query: Query,
    top_k: int,
    deadline_ns: int,
    request_id: str,
) -> list[Hit]:
    """All servers at once."""
    pending: list[Pending[Hits]] = []
    try:
        for server in servers:
            call = await wire.ask_hits(server, store_id, query, top_k, deadline_ns, request_id)
            pending.append(call)
        return merge([list((await call.reply()).hits[0]) for call in pending], top_k)
    finally:
        for call in pending:
            call.abandon()
