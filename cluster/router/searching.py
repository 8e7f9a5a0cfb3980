"""A search over all memory servers: what may be found of it is kept."""

import numpy as np
from numpy.typing import NDArray

from cluster.retrieval.narrowing import Narrowing, fits
from cluster.router.machine.store_state import Span, StoreState
from cluster.router.searchers import Near
from workers.errors import InvalidRequest
from workers.memory.hit import Hit
from workers.wire.kinds.memory import Search

# An embedder has each n-gram of a text in memory at once: 30 MB for this.
QUERY_CHARS_MAX = 1 << 18

Queries = NDArray[np.float32]  # [queries, dim]


def check_query(query: str) -> None:
    """Raises InvalidRequest for more text than is compared with passages."""
    if len(query) > QUERY_CHARS_MAX:
        raise InvalidRequest(
            f"what is searched for has {len(query)} characters: at most {QUERY_CHARS_MAX} are "
            "compared with passages",
            param="query",
        )


async def find(
    by: Near,
    store: StoreState,
    queries: Queries,
    top_k: int,
    deadline_ns: int,
    request_id: str,
    narrowing: Narrowing | None = None,
) -> list[list[Hit]]:
    """For each query the best `top_k` passages of the store's files, or of those that fit
    `narrowing`, the best first. Raises DeadlineExceeded.

    Passages of files that are being added, could not be, or went, are with the servers and nobody's
    to find: where they take others' places, more are asked for.
    """
    spans = spans_of(store, narrowing)
    if narrowing is not None and not spans:
        return [[] for _ in queries]
    first = np.array([span[0] for span in spans], np.int64)
    stop = first + np.array([span[1] for span in spans], np.int64)
    asked = top_k
    while True:
        search = Search(store.store_id, asked, queries, first, stop)
        told = await by.ask(search, deadline_ns, request_id)
        found = [[hit for hit in hits if store.has(hit.passage_id)] for hits in told]
        if all(
            len(there) >= top_k or len(hits) < asked
            for there, hits in zip(found, told, strict=True)
        ):
            return [there[:top_k] for there in found]
        asked *= 2


def spans_of(store: StoreState, narrowing: Narrowing | None) -> list[Span]:
    """Of the files that fit; none where all do."""
    if narrowing is None:
        return []
    fitting = (file for file in store.files.values() if fits(narrowing, file.attributes))
    return [span for file in fitting for span in file.spans]
