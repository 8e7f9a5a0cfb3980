"""Errors show at most 200 characters of what was sent, whatever was sent where."""

from typing import Any

import orjson
import pytest

from tests.cluster.gateway.fake_router import MODEL
from tests.cluster.gateway.test_hostile import CHAT, HI, form, post, upload

LONG = "Q" * 5000
COMPLETE = "/v1/completions"
TOLD = ("prompt", COMPLETE), ("messages", CHAT)
FIELDS = (
    "model messages prompt max_tokens max_completion_tokens temperature top_p top_k seed stop "
    "stop_token_ids ignore_eos min_tokens logprobs top_logprobs n stream stream_options retrieval "
    "tools tool_choice logit_bias response_format structured_outputs guided_json guided_regex "
    "guided_choice guided_grammar functions echo suffix nonsense"
).split()


def shown(path: str, body: Any, **more: Any) -> int:
    raw = body if isinstance(body, bytes) else orjson.dumps(body)
    status, message = post(path, raw, **more)
    assert 400 <= status < 500, (path, message)
    return message.count("Q")


@pytest.mark.parametrize("field", FIELDS)
def test_of_a_field_s_value_and_of_values_inside_it(field: str) -> None:
    values: list[Any] = [
        LONG, [LONG] * 8, [LONG] * 3, [LONG[:300]] * 8, {"type": LONG}, {LONG: LONG},
        [{LONG: LONG}],
        [{"role": LONG}], [{"role": "user", "content": LONG, LONG: 1}],
        [{"role": "user", "content": [{"type": LONG}]}], [{"type": "file_search", LONG: 1}],
        [{"role": "assistant", "tool_calls": [{"function": {"name": "f", LONG: LONG}}]}],
        {"type": "json_schema", "json_schema": {"name": LONG, "schema": {"type": LONG}}},
        [{"type": "function", "function": {"name": "f", "parameters": {"type": LONG}}}],
    ]  # fmt: skip
    for path, good in ((CHAT, {"messages": HI}), (COMPLETE, {"prompt": "p"})):
        for value in values:
            status, message = post(path, orjson.dumps({"model": MODEL, **good, field: value}))
            assert status < 500 and message.count("Q") <= 200, (field, value)
    body = {"model": MODEL, "messages": HI, "stream": True, "stream_options": {LONG: LONG}}
    assert shown(CHAT, body) <= 200
    assert shown(CHAT, {"model": MODEL, "messages": HI, LONG: LONG}) <= 200


@pytest.mark.parametrize(
    ("path", "method"),
    [
        (f"/{LONG}", "GET"), (f"/v1/models/{LONG}", "GET"), (f"/v1/files/{LONG}", "GET"),
        (f"/v1/vector_stores/{LONG}", "GET"), (f"/v1/vector_stores/{LONG}/files/{LONG}", "GET"),
        (f"/v1/files?limit={LONG}", "GET"), (f"/v1/files?{LONG}={LONG}", "GET"),
        (f"/v1/files?after={LONG}", "GET"), (f"/v1/files?order={LONG}", "GET"), (CHAT, LONG),
    ],
    ids=lambda value: value[:30],
)  # fmt: skip
def test_of_paths_queries_and_methods(path: str, method: str) -> None:
    assert shown(path, b"", method=method) <= 200


def test_of_forms_and_what_is_no_json() -> None:
    name = b'Content-Disposition: form-data; name="%b"\r\n\r\nx' % LONG.encode()
    header = b"%b: x\r\n\r\nx" % LONG.encode()
    for body, kind in (
        (form(name), b"multipart/form-data; boundary=x"), (form(header), LONG.encode()),
        (form(header), b"multipart/form-data; boundary=x"),
        (LONG.encode(), b"multipart/form-data; boundary=x"),
        (form(name), b"multipart/form-data; boundary=x; charset=" + LONG.encode()),
    ):  # fmt: skip
        status, message = upload(body, kind)
        assert 400 <= status < 500 and message.count("Q") <= 200
    assert shown(CHAT, LONG.encode()) <= 200
