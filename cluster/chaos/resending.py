"""A reader whose connection broke: it sends its request again, with what it has."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace

from cluster.api.output import Output
from cluster.api.request import Request
from cluster.gateway.client import RouterClient
from cluster.gateway.resume import OtherBody, Place, fingerprint, taken_up
from workers.host.clock.base import Clock

PATH = "/v1/completions"


async def read_twice(
    client: RouterClient, request: Request, after: int, clock: Clock, deadline_ns: int
) -> AsyncGenerator[Output, None]:
    """Its connection breaks after so many tokens. What it has is no beginning of another body's
    answer: whatever that says instead of OtherBody is told, as if it were the answer.

    deadline_ns   when all of it must have ended
    """
    of, count, place = _fingerprint(request), 0, Place("0" * 16, ((0, 0),))
    async with aclosing(taken_up(client, request, of, None)) as outputs:
        async for output, reached in outputs:
            yield output
            place = reached
            count += len(output.token_ids)
            if output.finish_reason or output.error is not None:
                return
            if count >= after:
                break
    left_ns = max(deadline_ns - clock.now(), 1)
    again = replace(request, request_id=f"{request.request_id}-again", deadline_ns=left_ns)
    other = replace(again, request_id=f"{again.request_id}-other", prompt_ids=again.prompt_ids[:-1])
    try:
        async with aclosing(taken_up(client, other, _fingerprint(other), place)) as outputs:
            async for output, _ in outputs:
                yield output
    except OtherBody:
        pass
    async with aclosing(taken_up(client, again, of, place)) as outputs:
        async for output, _ in outputs:
            yield output


def _fingerprint(request: Request) -> str:
    """Its body is what it asks."""
    return fingerprint(PATH, repr((request.prompt_ids, request.sampling)).encode())
