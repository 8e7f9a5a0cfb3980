"""Structured output: whether every answer is valid, and what a token of it costs.

`python -m benchmarks.structured`: answers under varied schemas, sampled at temperature 1 from a
model that hardly knows JSON, from `perfuse serve --model perfuse-tiny` through its HTTP gateway.
Each is validated with jsonschema. In turn (A B A B ...) as many requests ask for free text, each
for as many tokens as its counterpart got, after a prompt of the same length.

Expected before it was measured: 30 us of a mask and 20 us of Python around it on a token of about
2 ms, so 3 %; with eight streams the same 50 us on a token's share of 0.7 ms, so 7 %.
"""

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from statistics import median
from typing import Any, NamedTuple

import jsonschema
from openai import AsyncOpenAI
from openai.types.chat import ChatCompletion

from benchmarks.rows import Row, arguments, report
from benchmarks.serve import MODEL, server

ANSWERS = 500
STREAMS = (1, 8)
ROUNDS = 10
MAX_TOKENS = 600

NAME = {"type": "string", "maxLength": 12}
COUNT = {"type": "integer", "minimum": -5, "maximum": 120}


def closed(**properties: Any) -> dict[str, Any]:
    """An object of these properties and no others, as strict schemas have it."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


ADDRESS = closed(street=NAME, number=COUNT)
CAT, DOG = closed(kind={"const": "cat"}, lives=COUNT), closed(kind={"const": "dog"})
DATE, CODE = {"type": "string", "format": "date"}, {"type": "string", "pattern": "^[A-Z]{3}$"}
SCHEMAS: tuple[dict[str, Any], ...] = (
    closed(name=NAME, age=COUNT, colour={"enum": ["red", "green", "blue"]}),
    closed(user=closed(name=NAME, address=ADDRESS), ok={"type": "boolean"}),
    closed(tags={"type": "array", "items": NAME, "minItems": 1, "maxItems": 4}),
    closed(share={"type": "number", "minimum": 0, "maximum": 1, "multipleOf": 0.25}),
    closed(value={"anyOf": [COUNT, NAME, {"type": "null"}]}),
    closed(pet={"oneOf": [CAT, DOG]}),
    closed(first={"$ref": "#/$defs/p"}, second={"$ref": "#/$defs/p"})
    | {"$defs": {"p": closed(x=COUNT, y=COUNT)}, "title": "Points"},
    closed(born=DATE, code=CODE),
    {"type": "array", "items": closed(id=COUNT), "minItems": 2, "maxItems": 3},
    closed(a=NAME, b=COUNT, c={"const": None}) | {"required": []},
)


class Cost(NamedTuple):
    """Microseconds a token: of all streams together on the wall, and of a chip's choosing."""

    whole_us: float
    sampling_us: float


class Asked(NamedTuple):
    """An answer: what is wrong with it, or "", its tokens, and how long a chip chose them."""

    error: str
    tokens: int
    sampling_ns: int


async def structured(client: AsyncOpenAI, number: int) -> Asked:
    """An answer under one of the schemas."""
    schema = SCHEMAS[number % len(SCHEMAS)]
    answer = await client.chat.completions.create(
        model=MODEL,
        messages=[{"role": "user", "content": f"Give me example {number} as JSON."}],
        temperature=1.0,
        seed=number,
        max_tokens=MAX_TOKENS,
        response_format={
            "type": "json_schema",
            "json_schema": {"name": "answer", "strict": True, "schema": schema},
        },
    )
    choice, usage = answer.choices[0], answer.usage
    assert usage is not None, "an answer that is no stream tells its usage"
    error = wrong(choice.message.content or "", choice.finish_reason, schema)
    return Asked(error, usage.completion_tokens, _sampling_ns(answer))


def wrong(text: str, finish_reason: str, schema: dict[str, Any]) -> str:
    """What is wrong with an answer, or ""."""
    if finish_reason != "stop":
        return f"ended by {finish_reason}"
    try:
        jsonschema.validate(json.loads(text), schema)
    except (ValueError, jsonschema.ValidationError) as error:
        return f"{error}"[:200]
    return ""


async def free(client: AsyncOpenAI, number: int, tokens: int) -> Asked:
    """So many tokens that nothing shapes."""
    answer = await client.chat.completions.create(
        model=MODEL,
        messages=[{"role": "user", "content": f"Tell me example {number} as text."}],
        temperature=1.0,
        seed=number,
        max_tokens=tokens,
        extra_body={"ignore_eos": True},
    )
    return Asked("", tokens, _sampling_ns(answer))


def _sampling_ns(answer: ChatCompletion) -> int:
    extra = answer.model_extra
    assert extra is not None, "each answer says where its time went"
    return int(extra["times_ns"]["sampling"])


async def in_streams(
    url: str,
    streams: int,
    numbers: Sequence[int],
    ask: Callable[[AsyncOpenAI, int], Awaitable[Asked]],
) -> tuple[dict[int, Asked], Cost]:
    """Answers by number, and what their tokens cost; each stream asks one after the other."""
    left = iter(numbers)
    answers: dict[int, Asked] = {}

    async def user(client: AsyncOpenAI) -> None:
        for number in left:
            answers[number] = await ask(client, number)

    async with AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client:
        began_s = time.perf_counter()
        await asyncio.gather(*(user(client) for _ in range(streams)))
        took_s = time.perf_counter() - began_s
    tokens = sum(one.tokens for one in answers.values())
    sampling_ns = sum(one.sampling_ns for one in answers.values())
    return answers, Cost(took_s * 1e6 / tokens, sampling_ns / 1e3 / tokens)


async def pair(url: str, streams: int, numbers: Sequence[int]) -> tuple[Cost, Cost, list[str]]:
    """Shaped and free; and what was wrong."""
    shaped, shaped_cost = await in_streams(url, streams, numbers, structured)
    _, free_cost = await in_streams(
        url, streams, numbers, lambda client, number: free(client, number, shaped[number].tokens)
    )
    return shaped_cost, free_cost, [one.error for one in shaped.values() if one.error]


def rows(answers: int = ANSWERS) -> list[Row]:
    """Validity of that many answers, and the cost of a token at each number of streams."""
    times: dict[int, list[tuple[Cost, Cost]]] = {streams: [] for streams in STREAMS}
    errors: list[str] = []
    each = -(-answers // (ROUNDS * len(STREAMS)))
    with server() as served:
        warm = 10**6  # compiles each schema
        asyncio.run(pair(served.url, 8, range(warm, warm + len(SCHEMAS))))
        first = 0
        for _ in range(ROUNDS):
            for streams in STREAMS:
                shaped, plain, wrongs = asyncio.run(
                    pair(served.url, streams, range(first, first + each))
                )
                first += each
                times[streams].append((shaped, plain))
                errors += wrongs
    valid = first - len(errors)
    return [
        Row(
            f"answers valid under their schema, {len(SCHEMAS)} schemas, temperature 1, over HTTP",
            f"{valid} of {first}",
            "",
            "all",
            valid == first,
            "measured: jsonschema" + (f"; first: {errors[0]}" if errors else ""),
        ),
        *(row for streams, pairs in times.items() for row in _costs(streams, pairs)),
    ]


def _costs(streams: int, pairs: Sequence[tuple[Cost, Cost]]) -> list[Row]:
    """Published, without a bar."""
    where = f"{streams} stream{'s' if streams > 1 else ''}"
    how = f"measured: medians of {len(pairs)} interleaved rounds"
    whole = [(one.whole_us, other.whole_us) for one, other in pairs]
    shaped, plain = (median(side) for side in zip(*whole, strict=True))
    ratios = [one / other for one, other in whole]
    more = [one.sampling_us - other.sampling_us for one, other in pairs]
    return [
        Row(
            f"a structured token beside a free one, {where}",
            round(median(ratios), 3),
            "x",
            "none: published",
            True,
            f"{how}, {min(ratios):.2f} to {max(ratios):.2f}; {shaped:.0f} us beside "
            f"{plain:.0f} us, prompts and HTTP included",
        ),
        Row(
            f"what a step takes longer to choose tokens, {where}",
            round(median(more), 1),
            "us",
            "none: published",
            True,
            f"{how}, {min(more):.0f} to {max(more):.0f}; a step chooses one token a stream",
        ),
    ]


def main() -> int:
    options = arguments("Structured output: validity, and the cost of a token.")
    options.add_argument("--answers", type=int, default=ANSWERS, help="how many are validated")
    given = options.parse_args()
    return report(rows(given.answers), given.json, "structured output")


if __name__ == "__main__":
    sys.exit(main())
