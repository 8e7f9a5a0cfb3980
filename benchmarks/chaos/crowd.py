"""Many users of an HTTP endpoint at once: as many as are given, or as fast as they come."""

import asyncio
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import httpx

from benchmarks.chaos.overload import MODEL, PROMPTS, TOKENS, prompt_ids

# Whoever is not answered by then is not answered: an answer that is late says 504 long before.
ENDS_S = 120.0


@dataclass
class Heard:
    """What a crowd heard, times in seconds of one clock.

    begun_s       when each was asked
    good_s        when each whole answer had come
    refused       of each 429 what Retry-After said, None where it said nothing
    num_late      504s                 other   whatever else was said, as text
    """

    begun_s: list[float] = field(default_factory=list)
    good_s: list[float] = field(default_factory=list)
    refused: list[float | None] = field(default_factory=list)
    num_late: int = 0
    other: list[str] = field(default_factory=list)

    def good_between(self, from_s: float, to_s: float) -> int:
        return sum(from_s < at_s <= to_s for at_s in self.good_s)

    def begun_between(self, from_s: float, to_s: float) -> int:
        return sum(from_s <= at_s <= to_s for at_s in self.begun_s)


class Crowd:
    """Users of one endpoint. `deadline_s`: of the cluster's time, or None for its own."""

    def __init__(self, url: str) -> None:
        self._url = f"{url}/v1/completions"
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=200)
        self._http = httpx.AsyncClient(timeout=ENDS_S, limits=limits)

    async def close(self) -> None:
        await self._http.aclose()

    async def closed(self, users: int, requests: int) -> tuple[Heard, float]:
        """So many users ask as soon as they are answered; returns also how long it took."""
        heard, numbers, begun_s = Heard(), iter(range(requests)), time.monotonic()
        await asyncio.gather(*(self._user(numbers, heard) for _ in range(users)))
        return heard, time.monotonic() - begun_s

    async def open(self, rate: float, seconds: float, deadline_s: float, seed: int) -> Heard:
        """So many a second come by themselves (Poisson), for so long; until all have ended."""
        heard, chance = Heard(), random.Random(seed)
        at_s = begun_s = time.monotonic()
        asked = set[asyncio.Task[None]]()
        while (at_s := at_s + chance.expovariate(rate)) < begun_s + seconds:
            await asyncio.sleep(max(0.0, at_s - time.monotonic()))
            asking = asyncio.create_task(self._ask(chance.randrange(PROMPTS), heard, deadline_s))
            asked.add(asking)
            asking.add_done_callback(asked.discard)
        await asyncio.gather(*asked)
        return heard

    async def _user(self, numbers: Iterator[int], heard: Heard) -> None:
        for number in numbers:
            await self._ask(number, heard, None)

    async def _ask(self, number: int, heard: Heard, deadline_s: float | None) -> None:
        ids = list(prompt_ids(number))
        body = {"model": MODEL, "prompt": ids, "max_tokens": TOKENS, "ignore_eos": True}
        headers = {} if deadline_s is None else {"x-request-timeout": f"{deadline_s:.9f}"}
        heard.begun_s.append(time.monotonic())
        try:
            answer = await self._http.post(self._url, json=body, headers=headers)
        except httpx.TransportError as error:
            heard.other.append(f"{type(error).__name__}: {error}")
            return
        match answer.status_code:
            case 200:
                heard.good_s.append(time.monotonic())
            case 429:
                told = answer.headers.get("retry-after")
                heard.refused.append(None if told is None else float(told))
            case 504:
                heard.num_late += 1
            case _:
                heard.other.append(f"{answer.status_code}: {answer.text:.200}")
