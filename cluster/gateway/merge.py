"""Several submissions as one stream."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from cluster.api.output import Output
from cluster.api.request import Request
from cluster.gateway.client import RouterClient
from cluster.gateway.unread import Waits

# Outputs of all choices that may wait for a slow reader; a full queue makes their generators wait,
# too.
_QUEUE_MAX = 64

# Characters, or token ids, of a prompt whose first choice goes ahead of the others; and of the
# prompts of those that are under way together.
LARGE, TOGETHER_MAX = 1 << 16, 1 << 22

# A choice's next output; None ends it; an exception ends all.
_Item = tuple[int, Output | Exception | None]


async def merged(
    client: RouterClient, requests: Sequence[Request], waits: Waits | None = None
) -> AsyncGenerator[tuple[int, Output], None]:
    """Submit all and yield (index, output) as they come.

    The first error ends it. However it ends (exhausted, error, `aclose`, cancelled), all
    submissions are closed when it has ended.
    """
    if len(requests) == 1:  # the common case pays for no queue and no task
        async with aclosing(client.submit(requests[0], waits)) as outputs:
            async for output in outputs:
                yield 0, output
        return
    queue: asyncio.Queue[_Item] = asyncio.Queue(_QUEUE_MAX)
    ahead = _Ahead(requests)
    pumps = [
        asyncio.create_task(_pump(client, request, index, queue, ahead, waits))
        for index, request in enumerate(requests)
    ]
    try:
        num_open = len(pumps)
        while num_open:
            index, item = await queue.get()
            if item is None:
                num_open -= 1
            elif isinstance(item, Exception):
                raise item
            else:
                yield index, item
    finally:
        for pump in pumps:
            pump.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)


class _Ahead:
    """Which choices of a large prompt wait: all for the first, since if it is refused they need not
    travel, and if not they find its prompt computed; and where they are too large to be under way
    together, each for one that has its first token.
    """

    def __init__(self, requests: Sequence[Request]) -> None:
        different = requests[:1] if requests[0].messages else requests  # a chat has one prompt
        size = max(max(len(one.prompt_ids), one.num_chars) for one in different)
        self._first = asyncio.Event()
        self._room = asyncio.Semaphore(max(1, TOGETHER_MAX // max(1, size)))
        if size <= LARGE:
            self._first.set()

    async def enter(self, index: int) -> None:
        if index:
            await self._first.wait()
        await self._room.acquire()

    def begun(self) -> None:
        """One that has entered has its first token."""
        self._first.set()
        self._room.release()


async def _pump(
    client: RouterClient,
    request: Request,
    index: int,
    queue: asyncio.Queue[_Item],
    ahead: _Ahead,
    waits: Waits | None,
) -> None:
    has_begun = False
    try:
        await ahead.enter(index)
        async with aclosing(client.submit(request, waits)) as outputs:
            async for output in outputs:
                if not has_begun:
                    has_begun = True
                    ahead.begun()
                await queue.put((index, output))
        await queue.put((index, None))
    except Exception as error:
        await queue.put((index, error))
