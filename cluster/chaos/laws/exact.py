"""Law 1: each finished response equals its reference, token by token; what was told of one that did
not finish is how its reference begins. The reference is the model's definition, computed beside the
cluster (`workers.model.digest.reference`, `workers.model.reference`), never another run of it.
"""

from collections.abc import Iterator, Sequence

from cluster.chaos.heard import Heard

LAW = "exact"


def broken(heard: Sequence[Heard]) -> Iterator[str]:
    """Up to the first token that is flagged; what may follow that is law 5's."""
    for one in heard:
        end = min(one.approximate, default=len(one.right))
        told, right = tuple(one.tokens[:end]), one.right[:end]
        if one.is_answered and len(one.tokens) != len(one.right):
            yield f"{LAW}: {one.asked} ended with {len(one.tokens)} of {len(one.right)} tokens"
        elif told != right[: len(told)]:
            at = next(i for i, token in enumerate(told) if i >= len(right) or token != right[i])
            said = right[at] if at < len(right) else "nothing"
            yield f"{LAW}: {one.asked} heard {told[at]} at position {at}, not {said}"
