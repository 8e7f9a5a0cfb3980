"""Outputs that piled up travel in one message, but for those with many alternatives to their
tokens: to write those holds an event loop.
"""

from collections.abc import Iterator, Sequence

from cluster.router.machine.actions import Said

# Alternatives in one message: to write so many takes some 15 ms. Only outputs that have any are
# counted.
ALTERNATIVES_MAX = 2048


def pieces(said: Sequence[Said]) -> Iterator[Sequence[Said]]:
    """The same in order, at least one each."""
    piece: list[Said] = []
    alternatives = 0
    for one in said:
        more = sum(len(told.top) for told in one.output.logprobs)
        if piece and alternatives + more > ALTERNATIVES_MAX:
            yield piece
            piece, alternatives = [], 0
        piece.append(one)
        alternatives += more
    yield piece
