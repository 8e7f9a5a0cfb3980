"""Bodies, forms and headers of any bytes: a 4xx that says what is wrong, never a 500.

The app is called as a server calls it, without sockets.
"""

import asyncio
import json
from functools import cache
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.gateway.desk import Desk
from cluster.gateway.http.app import make_app
from cluster.gateway.settings import GatewaySettings
from tests.cluster.gateway.fake_router import MODEL, FakeRouter

CHAT = "/v1/chat/completions"
HI = [{"role": "user", "content": "hi"}]
BOUNDARY = "x"


@cache
def app() -> Any:
    return make_app(Desk(FakeRouter(), GatewaySettings(max_files=10**6)))


def post(path: str, body: bytes, *headers: tuple[bytes, bytes], method: str = "POST") -> Any:
    """(status, the error's message, or "")."""

    async def main() -> tuple[int, bytes]:
        sent: list[Any] = []
        path_only, _, query = path.partition("?")
        scope = {
            "type": "http",
            "http_version": "1.1",
            "method": method,
            "path": path_only,
            "raw_path": path_only.encode(),
            "query_string": query.encode(),
            "headers": list(headers) or [(b"content-type", b"application/json")],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 2),
            "scheme": "http",
            "root_path": "",
        }
        parts = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> Any:
            return parts.pop(0) if parts else await asyncio.Future()

        async def send(message: Any) -> None:
            sent.append(message)

        await asyncio.wait_for(app()(scope, receive, send), 20)
        return sent[0]["status"], b"".join(m.get("body", b"") for m in sent[1:])

    status, raw = asyncio.run(main())
    if status < 400:
        return status, ""
    assert len(raw) < 2000
    return status, orjson.loads(raw)["error"]["message"]


def nested(depth: int) -> bytes:
    return b"[" * depth + b"]" * depth


def test_deep_values_are_refused_by_name_in_every_field() -> None:
    """900 levels pass the reader, whose end is 1,024; each field's own error shows what it can."""
    fields = [
        "model", "messages", "max_tokens", "max_completion_tokens", "temperature", "top_p", "top_k",
        "seed", "stop", "stop_token_ids", "ignore_eos", "logprobs", "top_logprobs", "n", "stream",
        "stream_options", "retrieval", "tools", "tool_choice", "logit_bias", "response_format",
        "functions", "modalities", "frequency_penalty", "nonsense",
    ]  # fmt: skip
    good = orjson.dumps({"model": MODEL, "messages": HI})[1:]
    for field in fields:
        for value in (nested(900), b'{"a":' * 900 + b"1" + b"}" * 900):
            twice = b'"stream":true,' if field == "stream_options" else b""
            head = b"{" if field not in ("model", "messages") else b'{"messages":[],"model":"m",'
            rest = good if field not in ("model", "messages") else b'"n":1}'
            body = head + twice + b'"%s":' % field.encode() + value + b"," + rest
            status, message = post(CHAT, body)
            assert status == 400 and field in message, (field, status, message)
    for path in ("/v1/completions", "/v1/vector_stores", "/v1/vector_stores/v/search"):
        assert post(path, b'{"model":' + nested(900) + b"}")[0] == 400
    for whole in (nested(900), nested(2000), b'{"a":' * 5000):
        status, message = post(CHAT, whole)
        assert status == 400 and "\n" not in message


@pytest.mark.parametrize(
    "body",
    [
        b'{"temperature": 1e400}', b'{"n": ' + b"9" * 5000 + b"}", b'{"n": NaN}', b"\xff\xfe",
        b'{"model": "\\ud800"}', b"", b"\0", b"[", b'"x"', b"null",
    ],
)  # fmt: skip
def test_what_is_no_json_object_is_refused(body: bytes) -> None:
    status, message = post(CHAT, body)
    assert status == 400 and message


def test_long_values_are_not_sent_back() -> None:
    """A megabyte comes back as a hundred characters: `post` checks the answer's size."""
    long = "m" * 1_000_000
    for extra in (
        {"n": long}, {"stop": ["s"] * 100_000}, {"tool_choice": long},
        {long: 1}, {"retrieval": {"store": 1, long: 2}}, {"seed": long},
    ):  # fmt: skip
        body = orjson.dumps({"model": MODEL, "messages": HI} | extra)
        assert post(CHAT, body)[0] == 400


def form(*parts: bytes) -> bytes:
    return b"".join(b"--x\r\n" + part + b"\r\n" for part in parts) + b"--x--\r\n"


FILE = b'Content-Disposition: form-data; name="file"; filename="f.txt"\r\n\r\nhello'
PURPOSE = b'Content-Disposition: form-data; name="purpose"\r\n\r\nassistants'
MULTIPART = b"multipart/form-data; boundary=x"


def upload(body: bytes, kind: bytes = MULTIPART) -> Any:
    return post("/v1/files", body, (b"content-type", kind))


@pytest.mark.parametrize(
    "charset",
    [b"undefined", b"idna", b"punycode", b"utf-7", b"utf-16", b"base64", b"rot13", b"\xff", b"a\0"],
)
def test_a_form_is_utf8(charset: bytes) -> None:
    body = form(FILE, PURPOSE)
    assert upload(body)[0] == 200 and upload(body, MULTIPART + b"; charset=UTF-8")[0] == 200
    status, message = upload(body, MULTIPART + b"; charset=" + charset)
    assert status == 400 and "it must be utf-8" in message


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (form(FILE, PURPOSE), b"multipart/form-data"),
        (form(FILE, PURPOSE), b"multipart/form-data; boundary="),
        (form(FILE, PURPOSE), b"multipart/form-data; boundary=" + b"y" * 1000),
        (form(FILE, PURPOSE), b'multipart/form-data; boundary="\0"'),
        (form(FILE), MULTIPART),
        (form(PURPOSE), MULTIPART),
        (form(FILE, FILE, PURPOSE), MULTIPART),
        (form(*[PURPOSE] * 20), MULTIPART),
        (form(b"Content-Disposition: form-data\r\n\r\nx"), MULTIPART),
        (form(b"nonsense\r\n\r\nx"), MULTIPART),
        (form(b"A: b\r\n" * 10_000 + b"\r\nx"), MULTIPART),
        (form(b'Content-Disposition: form-data; name="purpose"\r\n\r\n\xff'), MULTIPART),
        (b"", MULTIPART),
        (b"--x", MULTIPART),
        (b"\0" * 1000, MULTIPART),
    ],
)
def test_a_malformed_form_is_refused(body: bytes, kind: bytes) -> None:
    status, message = upload(body, kind)
    assert status == 400 and message


def test_a_length_of_many_digits_is_too_large() -> None:
    for digits in (19, 5000):
        length = (b"content-length", b"9" * digits)
        assert post(CHAT, b"{}", length)[0] == 413


@settings(max_examples=100)
@given(body=st.binary(max_size=120), splice=st.integers(0, 150), kind=st.binary(max_size=20))
def test_any_bytes_are_a_form_or_refused(body: bytes, splice: int, kind: bytes) -> None:
    whole = form(FILE, PURPOSE)
    for sent in (body, whole[:splice] + body + whole[splice:]):
        assert upload(sent)[0] in (200, 400, 413)
    assert upload(whole, MULTIPART + kind)[0] in (200, 400)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 2**40) | st.floats(allow_nan=False, width=32)
    | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=6,
)  # fmt: skip
KEYS = st.sampled_from(
    "model messages prompt max_tokens temperature top_p top_k seed stop stop_token_ids n stream "
    "logprobs tools tool_choice retrieval response_format logit_bias echo suffix name file_ids "
    "query max_num_results metadata file_id".split()
)


@settings(max_examples=100)
@given(extra=st.dictionaries(KEYS, JSON, max_size=3), raw=st.binary(max_size=40))
def test_any_json_is_answered_or_refused(extra: dict[str, Any], raw: bytes) -> None:
    for path in (CHAT, "/v1/completions", "/v1/vector_stores", "/v1/vector_stores/v/search"):
        body = json.dumps({"model": MODEL, "messages": HI, "prompt": "p"} | extra).encode()
        for sent in (body, raw):
            status, message = post(path, sent)
            assert status < 500, (path, sent, message)


@settings(max_examples=100)
@given(text=st.text(st.characters(max_codepoint=255), max_size=20), key=st.text(max_size=8))
def test_any_path_and_query_are_answered_or_refused(text: str, key: str) -> None:
    for path in (f"/v1/files/{text}", f"/v1/vector_stores/{text}/files/{key}", "/v1/files"):
        for query in (f"?limit={text}", f"?{key}={text}", "?limit=" + "9" * 5000):
            status, message = post(path + query, b"", (b"x-request-id", b"a"), method="GET")
            assert status < 500, (path, query, message)
