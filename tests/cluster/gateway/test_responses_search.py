"""A file search of /v1/responses: a retrieval, told as OpenAI tells it."""

import pytest

from cluster.api.request import Retrieval
from tests.cluster.gateway.fake_router import say
from tests.cluster.gateway.test_responses import WEATHER, create, events_of, post, run

pytestmark = pytest.mark.live
TOOL = {"type": "file_search", "vector_store_ids": ["cards"], "max_num_results": 2}
SHOW = ["file_search_call.results"]
FOUND = say("o", "k", reason="stop", passages=("first", "second"))


def test_it_is_a_retrieval_and_an_item_before_the_answer():
    async def test(w):
        body = (await post(w, tools=[TOOL, WEATHER])).json()
        assert body["retrieval"]["store"] == "cards"
        made = await create(w, tools=[TOOL])
        assert [item.type for item in made.output] == ["file_search_call", "message"]
        search = made.output[0]
        assert (search.status, search.queries, search.results) == ("completed", ["hi"], None)
        assert search.id.startswith("fs_") and made.output_text == "ok"
        shown = await create(w, tools=[TOOL], include=SHOW)
        assert [result.text for result in shown.output[0].results] == ["first", "second"]

    assert run(test, script=FOUND).requests[0].retrieval == Retrieval("cards", 2)


def test_it_may_be_sent_back_and_no_model_sees_it():
    async def test(w):
        made = await create(w, tools=[TOOL], include=SHOW)
        again = [item.to_dict() for item in made.output]
        await create(w, input=[{"role": "user", "content": "hi"}, *again])
        await create(w, input="more", previous_response_id=made.id)

    sent, chained = run(test, script=FOUND).requests[1:]
    assert [m["role"] for m in sent.messages] == ["user", "assistant"]
    assert [m["content"] for m in chained.messages] == ["hi", "ok", "more"]


@pytest.mark.parametrize("include", [[], SHOW])
def test_a_stream_tells_its_steps(include):
    async def test(w):
        events = await events_of(w, tools=[TOOL], include=include)
        kinds = [event.type.removeprefix("response.") for event in events]
        steps = [f"file_search_call.{step}" for step in ("in_progress", "searching", "completed")]
        assert kinds[2:6] == ["output_item.added", *steps]
        done = next(e for e in events if e.type == "response.output_item.done")
        assert [event.sequence_number for event in events] == list(range(len(events)))
        if not include:
            assert done.output_index == 0 and done.item.results is None
        ended = [e for e in events if e.type == "response.output_item.done"]
        assert {e.output_index: e.item.type for e in ended} == {0: "file_search_call", 1: "message"}
        final = events[-1].response
        found = final.output[0].results
        assert [result.text for result in found or ()] == (["first", "second"] if include else [])
        assert final.output_text == "ok" and events[0].response.output == []

    run(test, script=FOUND)
