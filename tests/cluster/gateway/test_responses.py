"""/v1/responses through the official client, before a scripted router."""

import asyncio
import json

import openai
import pytest

from tests.cluster.gateway.fake_router import MODEL, FakeRouter, constraint_of, forever, say, world
from workers.errors import NotFinite, QueueFull

pytestmark = pytest.mark.live

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER = {"type": "function", "name": "weather", "parameters": SCHEMA, "strict": True}
CALL = '<tool_call>\n{"name": "weather", "arguments": {"city": "Rome"}}\n</tool_call>'


def run(test, *texts: str, reason: str = "stop", script=None, **settings) -> FakeRouter:
    router = FakeRouter(script or say(*texts, reason=reason, prompt=5, cached=2))

    async def main() -> None:
        async with world(router, **settings) as w:
            await test(w)

    asyncio.run(main())
    return router


def create(w, **body):
    return w.openai.responses.create(**{"model": MODEL, "input": "hi", **body})


async def post(w, **body):
    return await w.http.post("/v1/responses", json={"model": MODEL, "input": "hi", **body})


async def events_of(w, **body):
    return [event async for event in await create(w, stream=True, **body)]


def test_text_is_one_message_with_usage():
    async def test(w):
        made = await create(w, instructions="Be brief.", max_output_tokens=7, metadata={"a": "b"})
        assert made.output_text == "Hello world" and made.status == "completed"
        (item,) = made.output
        assert (item.type, item.role, item.status) == ("message", "assistant", "completed")
        assert item.id.startswith("msg_") and made.id.startswith("resp_")
        assert made.usage.input_tokens == 5 and made.usage.output_tokens == 2
        assert made.usage.input_tokens_details.cached_tokens == 2 and made.usage.total_tokens == 7
        assert (made.instructions, made.max_output_tokens) == ("Be brief.", 7)
        assert made.metadata == {"a": "b"} and made.temperature == 0.0 and made.tools == []
        assert made.tool_choice == "auto" and made.text.format.type == "text"

    router = run(test, "Hello", " world")
    (request,) = router.requests
    assert request.messages == (
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "hi"},
    )
    assert request.sampling.max_tokens == 7


def test_a_stream_has_openai_s_events_in_openai_s_order():
    async def test(w):
        events = await events_of(w)
        assert [event.type for event in events] == [
            "response.created",
            "response.in_progress",
            "response.output_item.added",
            "response.content_part.added",
            "response.output_text.delta",
            "response.output_text.delta",
            "response.output_text.done",
            "response.content_part.done",
            "response.output_item.done",
            "response.completed",
        ]
        assert [event.sequence_number for event in events] == list(range(10))
        assert events[0].response.status == "in_progress" and events[0].response.output == []
        assert events[6].text == events[7].part.text == "Hello world"
        assert {event.item_id for event in events[3:8]} == {events[2].item.id}
        final = events[-1].response
        assert final.output_text == "Hello world" and final.usage.total_tokens == 7
        assert (await w.openai.responses.retrieve(final.id)).output == final.output
        assert "[DONE]" not in (await post(w, stream=True)).text

    run(test, "Hello", " world")


def test_the_client_s_own_helper_follows_a_stream():
    async def test(w):
        async with w.openai.responses.stream(model=MODEL, input="hi") as stream:
            kinds = [event.type async for event in stream]
            final = await stream.get_final_response()
        assert final.output_text == "Hi" and kinds[-1] == "response.completed"

    run(test, "Hi")


def test_an_answer_that_is_cut_is_incomplete():
    async def test(w):
        made = await create(w)
        assert made.status == "incomplete"
        assert made.incomplete_details.reason == "max_output_tokens"
        assert made.output[0].status == "incomplete"
        assert (await events_of(w))[-1].type == "response.incomplete"

    run(test, "Hel", reason="length")


def test_calls_are_items_and_their_results_go_on():
    async def test(w):
        made = await create(w, tools=[WEATHER])
        said, call = made.output
        assert said.content[0].text == "I look." and call.name == "weather"
        assert json.loads(call.arguments) == {"city": "Rome"} and call.call_id.startswith("call_")
        kinds = [event.type for event in await events_of(w, tools=[WEATHER])]
        assert kinds[-6:] == [
            "response.output_item.done",
            "response.output_item.added",
            "response.function_call_arguments.delta",
            "response.function_call_arguments.done",
            "response.output_item.done",
            "response.completed",
        ]
        result = {"type": "function_call_output", "call_id": call.call_id, "output": "sunny"}
        items = [{"role": "user", "content": "hi"}, *(i.to_dict() for i in made.output), result]
        await create(w, tools=[WEATHER], input=items)
        await create(w, tools=[WEATHER], input=[result], previous_response_id=made.id)

    router = run(test, "I look.", CALL)
    assert router.requests[0].tools[0]["function"]["name"] == "weather"
    again, chained = router.requests[2].messages, router.requests[3].messages
    assert again == chained and [m["role"] for m in again] == ["user", "assistant", "tool"]
    assert again[1]["content"] == "I look."  # one message has the text and the call
    function = again[1]["tool_calls"][0]["function"]
    assert function == {"name": "weather", "arguments": {"city": "Rome"}}
    assert again[2]["content"] == "sunny"


def test_a_named_function_is_forced_and_its_arguments_are_streamed():
    async def test(w):
        choice = {"type": "function", "name": "weather"}
        text = {"format": {"type": "json_object"}}  # of an answer in text: there is none
        events = await events_of(w, tools=[WEATHER], tool_choice=choice, text=text)
        deltas = [e.delta for e in events if e.type == "response.function_call_arguments.delta"]
        assert deltas == ['{"city": ', '"Rome"}']
        assert events[-1].response.output[0].arguments == '{"city": "Rome"}'
        await create(w, tools=[WEATHER], tool_choice="required")

    router = run(test, '{"city": ', '"Rome"}')
    constraint = constraint_of(router.requests[0])
    assert json.loads(constraint.text) == {**SCHEMA, "additionalProperties": False}


def test_a_format_constrains_the_text():
    async def test(w):
        form = {"type": "json_schema", "name": "place", "schema": SCHEMA, "strict": True}
        made = await create(w, text={"format": form})
        assert made.text.format.type == "json_schema"

    router = run(test, "{}")
    constraint = constraint_of(router.requests[0])
    assert json.loads(constraint.text) == {**SCHEMA, "additionalProperties": False}
    assert constraint.said_by.startswith("text.format")


def test_a_conversation_goes_on_without_the_earlier_instructions():
    async def test(w):
        first = await create(w, instructions="One.")
        second = await create(w, input="more", previous_response_id=first.id, instructions="Two.")
        third = await create(w, input="again", previous_response_id=second.id)
        assert third.previous_response_id == second.id
        listed = [i async for i in w.openai.responses.input_items.list(second.id)]
        assert [i.content[0].text for i in listed] == ["more"]

    messages = run(test, "ok").requests[2].messages
    assert [m["content"] for m in messages] == ["hi", "ok", "more", "ok", "again"]


def test_responses_are_kept_deleted_and_bounded():
    async def test(w):
        ids = [(await create(w, input=str(i))).id for i in range(3)]
        with pytest.raises(openai.NotFoundError, match="gave way to newer"):
            await w.openai.responses.retrieve(ids[0])
        kept = await w.openai.responses.retrieve(ids[1])
        assert (kept.id, kept.output_text) == (ids[1], "ok")
        with pytest.raises(openai.BadRequestError, match="in the background"):
            await w.openai.responses.cancel(ids[1])
        await w.openai.responses.delete(ids[1])
        with pytest.raises(openai.NotFoundError):
            await w.openai.responses.delete(ids[1])
        with pytest.raises(openai.NotFoundError, match="previous_response_id: no response"):
            await create(w, previous_response_id=ids[1])
        passing = await create(w, store=False)
        with pytest.raises(openai.NotFoundError):
            await w.openai.responses.retrieve(passing.id)

    run(test, "ok", max_responses=2)


def test_a_response_that_is_too_large_is_answered_and_not_kept():
    async def test(w):
        made = await create(w)
        assert made.output_text == "x" * 3000
        with pytest.raises(openai.NotFoundError):
            await w.openai.responses.retrieve(made.id)

    run(test, "x" * 3000, max_responses_total_bytes=2000)


def test_refusals_have_their_status_and_later_errors_are_an_event():
    async def refused(w):
        answer = await post(w, stream=True)
        assert answer.status_code == 429 and answer.headers["retry-after"] == "2"

    run(refused, script=lambda request: [QueueFull("100 wait", retry_after_s=2)])

    async def broken(w):
        last = (await events_of(w))[-1]
        assert last.type == "response.failed" and last.response.status == "failed"
        assert "NaN" in last.response.error.message

    def script(request):
        first = say("Hel", "lo")(request)[0]
        return [first, NotFinite("logits are NaN")]

    run(broken, script=script)


def test_who_hangs_up_cancels_it():
    async def test(w):
        async with w.http.stream(
            "POST", "/v1/responses", json={"model": MODEL, "input": "a", "stream": True}
        ) as answer:
            async for _ in answer.aiter_lines():
                break
        await w.router.until_closed()

    run(test, script=forever)
