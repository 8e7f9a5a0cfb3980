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
from typing import Any, TypeVar

import jsonschema
from openai import AsyncOpenAI

from benchmarks.rows import Row, arguments, report
from benchmarks.serve import MODEL, server

T = TypeVar("T")
ANSWERS = 500
STREAMS = (1, 8)
ROUNDS = 5
MAX_TOKENS = 600
# What a token may cost beside one of free text: a mask and the Python around it. ASSUMED.
BAR_RATIO = 1.25

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


async def structured(client: AsyncOpenAI, number: int) -> tuple[str, int]:
    """An answer under one of the schemas: what is wrong with it, or "", and its tokens."""
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
    return error, usage.completion_tokens


def wrong(text: str, finish_reason: str, schema: dict[str, Any]) -> str:
    """What is wrong with an answer, or ""."""
    if finish_reason != "stop":
        return f"ended by {finish_reason}"
    try:
        jsonschema.validate(json.loads(text), schema)
    except (ValueError, jsonschema.ValidationError) as error:
        return f"{error}"[:200]
    return ""


async def free(client: AsyncOpenAI, number: int, tokens: int) -> int:
    """So many tokens that nothing shapes."""
    await client.chat.completions.create(
        model=MODEL,
        messages=[{"role": "user", "content": f"Tell me example {number} as text."}],
        temperature=1.0,
        seed=number,
        max_tokens=tokens,
        extra_body={"ignore_eos": True},
    )
    return tokens


async def in_streams(
    url: str, streams: int, numbers: Sequence[int], ask: Callable[[AsyncOpenAI, int], Awaitable[T]]
) -> tuple[dict[int, T], float]:
    """Answers by number, and the seconds that all took; each stream asks one after the other."""
    left = iter(numbers)
    answers: dict[int, T] = {}

    async def user(client: AsyncOpenAI) -> None:
        for number in left:
            answers[number] = await ask(client, number)

    async with AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client:
        began_s = time.perf_counter()
        await asyncio.gather(*(user(client) for _ in range(streams)))
        return answers, time.perf_counter() - began_s


async def pair(url: str, streams: int, numbers: Sequence[int]) -> tuple[float, float, list[str]]:
    """Microseconds a token, shaped and free; and what was wrong."""
    shaped, shaped_s = await in_streams(url, streams, numbers, structured)
    sizes = {number: tokens for number, (_, tokens) in shaped.items()}
    _, free_s = await in_streams(url, streams, numbers, lambda c, n: free(c, n, sizes[n]))
    tokens = sum(sizes.values())
    errors = [error for error, _ in shaped.values() if error]
    return shaped_s * 1e6 / tokens, free_s * 1e6 / tokens, errors


def rows(answers: int = ANSWERS) -> list[Row]:
    """Validity of that many answers, and the cost of a token at each number of streams."""
    times: dict[int, list[tuple[float, float]]] = {streams: [] for streams in STREAMS}
    errors: list[str] = []
    each = -(-answers // (ROUNDS * len(STREAMS)))
    with server() as url:
        warm = 10**6  # compiles each schema
        asyncio.run(pair(url, 8, range(warm, warm + len(SCHEMAS))))
        first = 0
        for _ in range(ROUNDS):
            for streams in STREAMS:
                shaped, plain, wrongs = asyncio.run(pair(url, streams, range(first, first + each)))
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
        *(_cost(streams, pairs) for streams, pairs in times.items()),
    ]


def _cost(streams: int, pairs: Sequence[tuple[float, float]]) -> Row:
    shaped, plain = zip(*pairs, strict=True)
    ratio = median(shaped) / median(plain)
    return Row(
        f"a structured token beside a free one, {streams} stream{'s' if streams > 1 else ''}",
        round(ratio, 3),
        "x",
        f"<= {BAR_RATIO} x",
        ratio <= BAR_RATIO,
        f"measured: medians of {len(shaped)} interleaved rounds, {median(shaped):.0f} us "
        f"({min(shaped):.0f} to {max(shaped):.0f}) beside {median(plain):.0f} us "
        f"({min(plain):.0f} to {max(plain):.0f}), prompts and HTTP included",
    )


def main() -> int:
    options = arguments("Structured output: validity, and the cost of a token.")
    options.add_argument("--answers", type=int, default=ANSWERS, help="how many are validated")
    given = options.parse_args()
    return report(rows(given.answers), given.json, "structured output")


if __name__ == "__main__":
    sys.exit(main())
