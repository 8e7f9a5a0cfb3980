"""Which ranks of another chip are given KV by one rank: those that are to hold layers, heads and
tokens that lie here. Pure.

    prefill, 2 ranks      decode, 4 ranks, 2 slices of 16 of 32 tokens; one latent
    rank 0  all tokens    ──▶ rank 0: 0 .. 15     ──▶ rank 2: 0 .. 15
    rank 1  all tokens    ──▶ rank 1: 16 .. 31    ──▶ rank 3: 16 .. 31

Of ranks that hold the same of all three each gives to one taker after another, in turns. So a taker
is given each byte once, and no such rank gives to more takers than another and one.
"""

from dataclasses import dataclass

from configs.parts import Part, Ranks
from configs.slices import Slice


@dataclass(frozen=True, slots=True)
class Taker:
    """name   of a rank        part   layers and heads that both hold
    held   tokens that lie there
    """

    name: str
    part: Part
    held: Slice


def takers_of(own: Part, size: int, to: Ranks, to_size: int) -> tuple[Taker, ...]:
    """In order of their ranks. `size`, `to_size`: tokens in a block, here and there."""
    here, found = Slice.of(own.heads, size), list[Taker]()
    for name, part in zip(to.names, to.parts, strict=True):
        common, there = own.common(part), Slice.of(part.heads, to_size)
        if common is not None and here.meets(there):
            found.append(Taker(name, common, there))
    if own.heads is None:
        return tuple(found)
    return tuple(found[own.heads.twin :: own.heads.twins])
