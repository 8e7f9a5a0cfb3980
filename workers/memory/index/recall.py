"""How much of the truth a search found."""

from collections.abc import Sequence

from workers.memory.hit import Hit


def recall(found: Sequence[Sequence[Hit]], truth: Sequence[Sequence[Hit]]) -> float:
    """The share of the passages that an exact search finds which `found` has too, over all queries
    (recall@k, where `truth` has the best k of each).

    Raises ValueError where the queries differ in number, or there is nothing to find.
    """
    if len(found) != len(truth):
        raise ValueError(f"{len(found)} answers to {len(truth)} queries: one of each a query")
    wanted = sum(map(len, truth))
    if not wanted:
        raise ValueError("the exact search found nothing: there is no recall of it")
    right = 0
    for hits, best in zip(found, truth, strict=True):
        right += len({hit.passage_id for hit in hits} & {hit.passage_id for hit in best})
    return right / wanted
