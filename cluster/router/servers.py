"""What every memory server has to hear, sooner or later."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

from workers.errors import DeadlineExceeded, PerfuseError
from workers.node import Node


async def tell_each(servers: Sequence[str], tell: Callable[[str], Awaitable[None]]) -> None:
    """One after the other. Raises what the first of those that failed raised, when all were
    told.
    """
    failed: PerfuseError | None = None
    for server in servers:
        try:
            await tell(server)
        except PerfuseError as error:
            failed = failed or error
    if failed is not None:
        raise failed


def until_heard(
    node: Node,
    what: str,
    name: str,
    is_wanted: Callable[[], bool],
    tell_all: Callable[[], Awaitable[None]],
) -> None:
    """In a task of its own: again and again while a server is silent. One that is gone ends it, and
    is told on its return.
    """

    async def tell() -> None:
        try:
            while is_wanted():
                with suppress(DeadlineExceeded):
                    await tell_all()
        except PerfuseError as error:
            node.trace.note(node.clock.now(), f"{what} failed", name, error.message)

    node.spawn(tell(), f"{what} {name}")
