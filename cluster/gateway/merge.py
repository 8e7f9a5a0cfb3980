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

# Characters, or token ids, of a prompt whose first choice goes ahead of the others.
LARGE = 1 << 16

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
    begun = asyncio.Event()
    if not _is_large(requests[0]):
        begun.set()
    pumps = [
        asyncio.create_task(_pump(client, request, index, queue, begun, waits))
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


def _is_large(request: Request) -> bool:
    """Whether the first choice goes ahead: if it is refused the others need not travel, and if not
    they find its prompt computed.
    """
    return max(len(request.prompt_ids), sum(map(len, request.texts()))) > LARGE


async def _pump(
    client: RouterClient,
    request: Request,
    index: int,
    queue: asyncio.Queue[_Item],
    begun: asyncio.Event,
    waits: Waits | None,
) -> None:
    """`begun`: the first choice, which does not wait for it, has its first token."""
    try:
        if index:
            await begun.wait()
        async with aclosing(client.submit(request, waits)) as outputs:
            async for output in outputs:
                begun.set()
                await queue.put((index, output))
        await queue.put((index, None))
    except Exception as error:
        await queue.put((index, error))
