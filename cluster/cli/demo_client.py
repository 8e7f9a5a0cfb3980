"""Users of the demo: the official `openai` client against the HTTP endpoint, a few at a time."""

import asyncio
import time
from collections.abc import Callable

import openai

from cluster.workload.build import TimedRequest, Workload
from cluster.workload.driver import Answer

OnAnswer = Callable[[Answer], None]


def ask_over_http(
    url: str, workload: Workload, dilation: float, on_answer: OnAnswer
) -> list[Answer]:
    """Ask all questions, `workload.concurrency` at a time or each at its own; times are wall time
    over dilation.
    """
    return asyncio.run(_ask_all(url, workload, dilation, on_answer))


async def _ask_all(
    url: str, workload: Workload, dilation: float, on_answer: OnAnswer
) -> list[Answer]:
    answers = [Answer(t.request.request_id, t.expected_answer) for t in workload.requests]
    origin_s = time.monotonic()

    def now_ns() -> int:
        return int((time.monotonic() - origin_s) * 1e9 / dilation)

    async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client:

        async def one(index: int, arrived_ns: int) -> None:
            await asyncio.sleep(max(0, arrived_ns - now_ns()) * dilation * 1e-9)
            await _ask(client, workload.requests[index], answers[index], arrived_ns, now_ns)
            on_answer(answers[index])

        waiting = iter(range(len(answers)))

        async def user() -> None:
            for index in waiting:
                await one(index, now_ns())

        if workload.concurrency is None:
            asking = [one(index, timed.at_ns) for index, timed in enumerate(workload.requests)]
        else:
            asking = [user() for _ in range(min(workload.concurrency, len(answers)))]
        await asyncio.gather(*asking)
    return answers


async def _ask(
    client: openai.AsyncOpenAI,
    timed: TimedRequest,
    answer: Answer,
    arrived_ns: int,
    now_ns: Callable[[], int],
) -> None:
    request, sampling = timed.request, timed.request.sampling
    answer.submitted_ns = arrived_ns
    retrieval = request.retrieval
    body = {"retrieval": {"store": retrieval.store, "top_k": retrieval.top_k}} if retrieval else {}
    try:
        stream = await client.chat.completions.create(
            model=request.model,
            messages=[{"role": "user", "content": m["content"]} for m in request.messages],
            max_tokens=sampling.max_tokens,
            temperature=sampling.temperature,
            seed=sampling.seed,
            stream=True,
            stream_options={"include_usage": True},
            extra_body=body,
        )
        async for chunk in stream:
            _take(answer, chunk, now_ns())
    except openai.OpenAIError as error:
        answer.read(0, now_ns())
        answer.finish_reason, answer.error = "error", {"message": str(error)}


def _take(answer: Answer, chunk: openai.types.chat.ChatCompletionChunk, read_ns: int) -> None:
    """A chunk counts as one token: how many its text is of, HTTP does not say."""
    for choice in chunk.choices:
        answer.read(bool(choice.delta.content) or answer.ttft_ns is None, read_ns)
        answer.text += choice.delta.content or ""
        if choice.finish_reason:
            answer.finish_reason = choice.finish_reason
            extra = chunk.model_extra or {}
            answer.times_ns = extra.get("times_ns", {})
            answer.passages = tuple(extra.get("retrieval", {}).get("passages", ()))
    if chunk.usage is not None:
        details = chunk.usage.prompt_tokens_details
        answer.num_prompt_tokens = chunk.usage.prompt_tokens
        answer.num_cached_tokens = (details.cached_tokens or 0) if details else 0
        answer.num_output_tokens = chunk.usage.completion_tokens
