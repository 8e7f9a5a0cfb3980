"""Which memory server holds which passage, and one answer from many. Pure.

passage id   0 .. 15 | 16 .. 31 | 32 .. 47 | 48 .. 63 | ...
server             0 |        1 |        2 |        0 | ...      (three servers, stripes of 16)
"""

from collections.abc import Iterable, Sequence

from workers.memory.hit import Hit

# Neighbours in a document stay together, and the parts still differ by one stripe at most. ASSUMED:
# a document of some ten passages should not spread over every server.
STRIPE = 16


def server_of(passage_id: int, num_servers: int, stripe: int = STRIPE) -> int:
    """Index of the server that holds a passage; it depends on nothing else, so later additions move
    none.

    Raises ValueError on values out of range.
    """
    if passage_id < 0 or num_servers < 1 or stripe < 1:
        raise ValueError(
            f"passage_id {passage_id}, num_servers {num_servers}, stripe {stripe}: "
            "they must be at least 0, 1 and 1"
        )
    return (passage_id // stripe) % num_servers


def partition(
    passage_ids: Iterable[int], num_servers: int, stripe: int = STRIPE
) -> list[list[int]]:
    """For each server, positions (not ids) in `passage_ids` that are its own, in their order."""
    parts: list[list[int]] = [[] for _ in range(num_servers)]
    for position, passage_id in enumerate(passage_ids):
        parts[server_of(passage_id, num_servers, stripe)].append(position)
    return parts


def counts(num_passages: int, num_servers: int, stripe: int = STRIPE) -> list[int]:
    """Of passages 0 .. num_passages - 1, how many each server holds."""
    rounds, rest = divmod(num_passages, num_servers * stripe)
    begun = (min(stripe, max(0, rest - server * stripe)) for server in range(num_servers))
    return [rounds * stripe + more for more in begun]


def merge(hits_by_server: Sequence[Sequence[Hit]], top_k: int) -> list[Hit]:
    """The best top_k of all servers' hits for one query: score descending, then passage id
    ascending.

    Equal to the search of one shard that holds everything, if each server gave its own top_k. A
    passage that two servers name (a replica, an answer that came twice) counts once. Raises
    ValueError if top_k < 1.
    """
    if top_k < 1:
        raise ValueError(f"top_k is {top_k}: it must be at least 1")
    best: dict[int, Hit] = {}
    for hit in sorted((hit for hits in hits_by_server for hit in hits), key=Hit.rank):
        best.setdefault(hit.passage_id, hit)
        if len(best) == top_k:
            break
    return list(best.values())
