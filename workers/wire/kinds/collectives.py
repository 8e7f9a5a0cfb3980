"""Ranks of a group: what a collective moves from one to another."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from workers.hardware.energy.phase import Cause, Phase
from workers.wire.kind import Kind, Reply, kind
from workers.wire.roles import Array, Count, Moment, Role, Text, free, spent_for


@kind("piece")
@dataclass(frozen=True, slots=True)
class Piece(Kind[Reply]):
    """Some chunks of one collective, as the round of a schedule says.

    group      whose ranks do it
    number     which of the group's collectives, counted by each rank
    round      of its schedule
    chunks     which; free, for the schedule says so at both ends
    num_bytes  that the link is charged for each of them: once, as a system sends it that adds up on
               the way
    held       what is carried of them, by names (`workers.collectives.held`): the terms of several
               ranks, so that whoever adds them does so in the order of the ranks; or sums
    """

    group: Text
    number: Moment
    round: Count
    chunks: Annotated[tuple[int, ...], Role("body", free, list, tuple)]
    num_bytes: Annotated[
        tuple[int, ...], Role("body", lambda value, _: sum(value), list, tuple, is_price=True)
    ]
    held: Annotated[Mapping[str, Array], Role("tensors", free)]
    computed_for: Annotated[Cause, spent_for()] = Phase.SERVING
