"""What actors say: the one place where Ray's errors become ours, and where no wait is endless."""

import asyncio
from typing import Any

import ray

from workers.errors import PeerDead, PerfuseError


def said(asked: Any, whom: str, timeout_s: float) -> Any:
    """What an actor answers to what it was asked. `whom`: the actor, in words.

    Raises what it raised, PeerDead where it is gone, TimeoutError where it says nothing.
    """
    try:
        return ray.get(asked, timeout=timeout_s)
    except ray.exceptions.RayError as error:
        raise plain(error, whom, timeout_s) from None


async def answer(asked: Any, whom: str, timeout_s: float) -> Any:
    """The same without holding an event loop."""

    async def told() -> Any:
        return await asked

    try:
        return await asyncio.wait_for(told(), timeout_s)
    except TimeoutError as error:
        if isinstance(error, ray.exceptions.RayError):
            raise plain(error, whom, timeout_s) from None
        raise TimeoutError(f"{whom} did not answer within {timeout_s:g} s") from None
    except ray.exceptions.RayError as error:
        raise plain(error, whom, timeout_s) from None


def plain(error: BaseException, whom: str, timeout_s: float) -> BaseException:
    """An error of Ray's as ours. What one actor had from another comes wrapped as often."""
    while isinstance(error, ray.exceptions.RayTaskError) and error.cause is not None:
        error = error.cause
    if isinstance(error, ray.exceptions.ActorUnavailableError):
        return TimeoutError(f"{whom} cannot be reached")
    if isinstance(error, ray.exceptions.RayActorError):
        return PeerDead(f"{whom} is gone: its process ended", node="")
    if isinstance(error, ray.exceptions.GetTimeoutError):
        return TimeoutError(f"{whom} did not answer within {timeout_s:g} s")
    if isinstance(error, ray.exceptions.RayError):
        return PerfuseError(f"{whom}: {type(error).__name__}: {error}")
    return error
