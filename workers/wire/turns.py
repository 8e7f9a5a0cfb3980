"""Turns of a wire that is full: what a sender waits for."""

from collections.abc import Awaitable, Sequence
from contextlib import suppress

from workers.errors import PeerDead


async def one_after_the_other(turns: Sequence[Awaitable[None]]) -> None:
    """Wait for each in order."""
    for turn in turns:
        await turn


async def quietly(turn: Awaitable[None]) -> None:
    """Wait for one of a message that need not arrive."""
    with suppress(PeerDead):
        await turn
