"""Tokens a second of the default local cluster: `python -m benchmarks.throughput [--json FILE]`.

Emulation is off, so everything costs what it really takes. Eight users stream answers of 64 tokens
to retrieval questions through the official `openai` client; beside it, the same load put in at the
gateway's node without HTTP.
"""

import asyncio
import sys
import time
from statistics import median

from openai import AsyncOpenAI

from benchmarks.rows import Row, arguments, report
from benchmarks.runs import EMULATION_OFF, RUN_TIMEOUT_S, demo, questions, standing
from cluster.gateway.settings import GatewaySettings
from cluster.workload.build import TimedRequest, Workload
from cluster.workload.driver import Answer
from cluster.worlds.blueprint import Blueprint
from cluster.worlds.local import LocalWorld

STREAMS = 8
ANSWER_TOKENS = 64
QUESTIONS_PER_ROUND = 32
ROUNDS = 3
BAR = 200  # tokens/s
ANSWERS: dict[str, object] = {
    "workload.sampling.max_tokens": ANSWER_TOKENS,
    "workload.sampling.ignore_eos": True,
    "workload.arrivals.closed.concurrency": STREAMS,
}


async def stream_answer(client: AsyncOpenAI, timed: TimedRequest) -> int:
    """Ask one question as a user would; returns how many tokens came."""
    request = timed.request
    assert request.retrieval is not None, "the demo's questions ask for passages"
    stream = await client.chat.completions.create(
        model=request.model,
        messages=[{"role": "user", "content": request.messages[-1]["content"]}],
        max_tokens=ANSWER_TOKENS,
        stream=True,
        stream_options={"include_usage": True},
        extra_body={
            "ignore_eos": True,
            "retrieval": {"store": request.retrieval.store, "top_k": request.retrieval.top_k},
        },
    )
    tokens = 0
    async for chunk in stream:
        if chunk.usage is not None:
            tokens = chunk.usage.completion_tokens
    return tokens


async def http_round(url: str, workload: Workload) -> float:
    """Tokens a second over one round of questions."""
    waiting = iter(workload.requests)

    async def user(client: AsyncOpenAI) -> int:
        return sum([await stream_answer(client, timed) for timed in waiting])

    async with AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client:
        began_s = time.monotonic()
        tokens = await asyncio.gather(*(user(client) for _ in range(STREAMS)))
        return sum(tokens) / (time.monotonic() - began_s)


def inner_round(world: LocalWorld, workload: Workload) -> float:
    """The same without HTTP: the gateway's own node asks."""
    began_s = time.monotonic()
    answers: list[Answer] = world.ask_gateway("run", workload, timeout_s=RUN_TIMEOUT_S)
    return sum(len(answer.token_ids) for answer in answers) / (time.monotonic() - began_s)


def row(name: str, rates: list[float], how: str, bar: bool = True) -> Row:
    middle = median(rates)
    return Row(
        name,
        middle,
        "tokens/s",
        f">= {BAR} tokens/s" if bar else "none: shown beside HTTP",
        middle >= BAR or not bar,
        f"measured: median of {', '.join(f'{rate:.0f}' for rate in rates)}; {how}",
    )


def main() -> int:
    options = arguments("Tokens a second of the local cluster, emulation off.").parse_args()
    # A warm-up, then each round its own questions: a prefix that is cached would be no work.
    count = (1 + 2 * ROUNDS) * QUESTIONS_PER_ROUND
    blueprint = Blueprint.draw(demo(count, {**EMULATION_OFF, **ANSWERS}))
    requests = questions(blueprint).requests
    rounds = [
        Workload(requests[first : first + QUESTIONS_PER_ROUND], STREAMS)
        for first in range(0, len(requests), QUESTIONS_PER_ROUND)
    ]
    with standing(blueprint, "local cluster") as world:
        url = world.ask_gateway("serve_http", "127.0.0.1", 0, GatewaySettings())
        over_http = [asyncio.run(http_round(url, workload)) for workload in rounds[: 1 + ROUNDS]]
        inside = [inner_round(world, workload) for workload in rounds[1 + ROUNDS :]]
    how = f"{STREAMS} streams, {QUESTIONS_PER_ROUND} retrieval questions a round"
    how += f", {ANSWER_TOKENS} tokens each"
    rows = [
        row("local demo, emulation off, through HTTP", over_http[1:], f"openai client, {how}"),
        row("the same put in at the gateway's node", inside, how, bar=False),
    ]
    return report(rows, options.json, "Throughput")


if __name__ == "__main__":
    sys.exit(main())
