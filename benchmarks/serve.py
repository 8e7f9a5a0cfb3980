"""Tokens a second of `perfuse serve --model perfuse-tiny`: `python -m benchmarks.serve`.

The server is the command itself, in a process of its own; its users are streams of the official
`openai` client here. Both share the machine, as on any laptop.
"""

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from statistics import median
from threading import Thread

from openai import AsyncOpenAI

from benchmarks.rows import Row, arguments, report

MODEL = "perfuse-tiny"
STREAMS = (1, 4, 16)
PROMPT_TOKENS = 32
ANSWER_TOKENS = 64
ANSWERS_PER_STREAM = 4
ROUNDS = 3
# What the cluster of processes must reach at eight streams (`make bench-throughput`).
BAR = 200  # tokens/s
BAR_FROM = 8  # streams


@dataclass(frozen=True, slots=True)
class Server:
    url: str
    pid: int


def server(model: str = MODEL) -> AbstractContextManager[Server]:
    """One model from one process; see `started`."""
    return started("--model", model)


@contextmanager
def started(*arguments: str) -> Iterator[Server]:
    """`perfuse serve` with these arguments, once it serves. Raises RuntimeError with what it said
    where it does not start."""
    command = [sys.executable, "-m", "cluster.cli.main", "serve", *arguments, "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout is not None
    said: list[str] = []
    try:
        for line in process.stdout:
            said.append(line)
            if "http://" in line:
                # A pipe that nobody reads would hold the server up when it is full.
                Thread(target=process.stdout.read, daemon=True).start()
                yield Server(line[line.index("http://") :].split("/v1")[0], process.pid)
                break
        else:
            raise RuntimeError(f"the server did not start: {''.join(said)}")
    finally:
        process.terminate()
        process.wait(timeout=60)


def prompt(number: int) -> list[int]:
    """Token ids that no other number's share a block with: a cached prefix would be no work."""
    return [3 + (number * 7919 + i * 31 + (number >> 4) * i) % 490 for i in range(PROMPT_TOKENS)]


async def answer(client: AsyncOpenAI, number: int) -> int:
    """One streamed answer; returns how many tokens came."""
    stream = await client.completions.create(
        model=MODEL,
        prompt=prompt(number),
        max_tokens=ANSWER_TOKENS,
        stream=True,
        stream_options={"include_usage": True},
        extra_body={"ignore_eos": True},
    )
    tokens = 0
    async for chunk in stream:
        if chunk.usage is not None:
            tokens = chunk.usage.completion_tokens
    return tokens


async def measured(url: str, streams: int, first: int) -> float:
    """Tokens a second of one round: each stream asks its next question when one is answered."""
    numbers = iter(range(first, first + streams * ANSWERS_PER_STREAM))

    async def user(client: AsyncOpenAI) -> int:
        return sum([await answer(client, number) for number in numbers])

    async with AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client:
        began_s = time.monotonic()
        tokens = await asyncio.gather(*(user(client) for _ in range(streams)))
        return sum(tokens) / (time.monotonic() - began_s)


def row(streams: int, rates: list[float]) -> Row:
    middle = median(rates)
    has_bar = streams >= BAR_FROM
    return Row(
        f"one process, through HTTP, {streams} stream{'s' if streams > 1 else ''}",
        middle,
        "tokens/s",
        f">= {BAR} tokens/s" if has_bar else "none: shown beside the others",
        middle >= BAR or not has_bar,
        f"measured: median of {', '.join(f'{rate:.0f}' for rate in rates)}; openai client, "
        f"{ANSWERS_PER_STREAM} answers a stream of {ANSWER_TOKENS} tokens to {PROMPT_TOKENS}",
    )


def main() -> int:
    options = arguments("Tokens a second of `perfuse serve --model perfuse-tiny`.").parse_args()
    rates: dict[int, list[float]] = {streams: [] for streams in STREAMS}
    with server() as served:
        first = 0
        for number in range(1 + ROUNDS):  # the first warms up
            for streams in STREAMS:
                rate = asyncio.run(measured(served.url, streams, first))
                first += streams * ANSWERS_PER_STREAM
                if number:
                    rates[streams].append(rate)
    return report([row(*item) for item in rates.items()], options.json, "perfuse serve")


if __name__ == "__main__":
    sys.exit(main())
