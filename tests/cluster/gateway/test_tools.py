"""Tools of chats through the official client, before a scripted router."""

import asyncio
import json

import pytest

from tests.cluster.gateway.fake_router import FakeRouter, say, world

pytestmark = pytest.mark.live

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER = {"type": "function", "function": {"name": "weather", "parameters": SCHEMA}}
NOW = {"type": "function", "function": {"name": "now", "description": "the time", "strict": True}}
NAMED = {"type": "function", "function": {"name": "weather"}}
CALL = '<tool_call>\n{"name": "weather", "arguments": {"city": "Zürich"}}\n</tool_call>'
USER = {"role": "user", "content": "hi"}


def run(test, *texts: str, tool_format: str = "hermes", reason: str = "stop") -> FakeRouter:
    router = FakeRouter(say(*texts, reason=reason), tool_format=tool_format)

    async def main() -> None:
        async with world(router) as w:
            await test(w)

    asyncio.run(main())
    return router


async def streamed(w, **body):
    """(content, calls by index, finish reason, number of chunks that have calls)."""
    content, calls, reason, num = "", {}, None, 0
    stream = await w.openai.chat.completions.create(
        model="perfuse-tiny", messages=[USER], stream=True, **body
    )
    async for chunk in stream:
        (choice,) = chunk.choices
        content += choice.delta.content or ""
        reason = choice.finish_reason or reason
        num += bool(choice.delta.tool_calls)
        for piece in choice.delta.tool_calls or ():
            call = calls.setdefault(piece.index, {"id": piece.id, "name": piece.function.name})
            assert piece.id in (None, call["id"])  # told once
            call["arguments"] = call.get("arguments", "") + (piece.function.arguments or "")
    return content, calls, reason, num


def test_a_call_is_found_whole_and_streamed():
    async def test(w):
        made = (await w.chat(tools=[WEATHER, NOW])).json()["choices"][0]
        message = made["message"]
        assert made["finish_reason"] == "tool_calls" and message["content"] == "I look."
        (call,) = message["tool_calls"]
        assert call["type"] == "function" and call["function"]["name"] == "weather"
        assert call["id"].startswith("call_") and len(call["id"]) == 29
        assert json.loads(call["function"]["arguments"]) == {"city": "Zürich"}
        content, calls, reason, _ = await streamed(w, tools=[WEATHER, NOW])
        assert (content, reason) == ("I look.", "tool_calls")
        assert calls[0]["name"] == "weather"
        assert json.loads(calls[0]["arguments"]) == {"city": "Zürich"}
        assert calls[0]["id"] != call["id"]

    router = run(test, "I lo", "ok.\n<tool", *CALL[5:])
    assert router.requests[0].tools == (WEATHER, NOW)  # as they came
    assert router.requests[0].sampling.shaping is None


def test_an_answer_of_calls_alone_has_no_content():
    async def test(w):
        made = (await w.chat(tools=[WEATHER])).json()["choices"][0]["message"]
        assert made["content"] is None and len(made["tool_calls"]) == 2
        assert len({call["id"] for call in made["tool_calls"]}) == 2
        one = (await w.chat(tools=[WEATHER], parallel_tool_calls=False)).json()["choices"][0]
        assert len(one["message"]["tool_calls"]) == 1
        content, calls, _, _ = await streamed(w, tools=[WEATHER])
        assert content == "" and list(calls) == [0, 1]
        _, calls, _, _ = await streamed(w, tools=[WEATHER], parallel_tool_calls=False)
        assert list(calls) == [0]

    run(test, CALL, "\n", CALL)


def test_text_stays_text_and_broken_calls_are_given_back():
    broken = '<tool_call>{"name": "weather", "arguments": }</tool_call>'

    async def test(w):
        made = (await w.chat(tools=[WEATHER])).json()["choices"][0]
        assert made["message"]["content"] == f"Hi {broken}" and made["finish_reason"] == "stop"
        assert "tool_calls" not in made["message"]
        content, calls, reason, _ = await streamed(w, tools=[WEATHER])
        assert (content, calls, reason) == (f"Hi {broken}", {}, "stop")

    run(test, "Hi ", broken)


def test_none_offers_nothing_and_reads_nothing():
    async def test(w):
        made = (await w.chat(tools=[WEATHER], tool_choice="none")).json()["choices"][0]
        assert made["message"]["content"] == "plain" and made["finish_reason"] == "stop"

    assert run(test, "plain").requests[0].tools == ()


def test_allowed_tools_are_all_that_is_offered():
    allowed = {"mode": "auto", "tools": [{"type": "function", "function": {"name": "now"}}]}

    async def test(w):
        choice = {"type": "allowed_tools", "allowed_tools": allowed}
        await w.chat(tools=[WEATHER, NOW], tool_choice=choice)

    assert run(test, "ok").requests[0].tools == (NOW,)


def test_each_choice_of_n_has_its_own_calls():
    async def test(w):
        made = (await w.chat(tools=[WEATHER], n=2)).json()["choices"]
        ids = {choice["message"]["tool_calls"][0]["id"] for choice in made}
        assert len(ids) == 2

    run(test, CALL)


def test_ids_have_the_form_that_the_template_reads_again():
    async def mistral(w):
        made = (await w.chat(tools=[WEATHER])).json()["choices"][0]["message"]
        (call_id,) = [call["id"] for call in made["tool_calls"]]
        assert len(call_id) == 9 and call_id.isalnum()

    run(mistral, '[TOOL_CALLS][{"name": "weather", "arguments": {}}]', tool_format="mistral")

    async def kimi(w):
        made = (await w.chat(tools=[NOW])).json()["choices"][0]["message"]
        assert made["tool_calls"][0]["id"] == "functions.now:3"

    text = "<|tool_call_begin|>functions.now:3<|tool_call_argument_begin|>{}<|tool_call_end|>"
    run(kimi, text, tool_format="kimi_k2")


def test_thoughts_of_gpt_oss_stand_beside_the_content():
    async def test(w):
        made = (await w.chat(tools=[NOW])).json()["choices"][0]["message"]
        assert (made["content"], made["reasoning_content"]) == ("Hi.", "Hm.")

    text = (
        "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final<|message|>Hi."
    )
    run(test, text, tool_format="harmony")


def test_logprobs_come_with_the_tokens_that_are_held_back():
    async def test(w):
        body = await w.chat(tools=[WEATHER], stream=True, logprobs=True)
        assert body.status_code == 200

    run(test, *CALL)


def test_calls_and_their_results_go_on_as_templates_read_them():
    function = {"name": "weather", "arguments": '{"city": "Z"}'}
    call = {"id": "call_1", "type": "function", "function": function}
    messages = [
        USER,
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "sunny"},
    ]

    async def test(w):
        assert (await w.chat(messages=messages, tools=[WEATHER])).status_code == 200

    _, asked, result = run(test, "ok").requests[0].messages
    assert asked["tool_calls"][0]["function"]["arguments"] == {"city": "Z"}
    assert asked["content"] is None
    assert result == {"role": "tool", "tool_call_id": "call_1", "content": "sunny"}
