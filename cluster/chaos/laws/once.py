"""Law 2: each position of a stream is told once, in order, none left out."""

from collections.abc import Iterator, Sequence

from cluster.chaos.heard import Heard

LAW = "once"


def broken(heard: Sequence[Heard]) -> Iterator[str]:
    for one in heard:
        for position, before in one.positions:
            if position != before:
                what = "again" if position < before else "early"
                yield f"{LAW}: {one.asked} heard position {position} {what}, after {before} tokens"
                break
        if len(one.tokens) > len(one.right):
            yield f"{LAW}: {one.asked} heard {len(one.tokens)} tokens of {len(one.right)}"
