"""HTTP bodies: the first byte names the endpoint, the rest is its body as it came.

What a body asks of a constraint's compiler is asked as well: a schema and a grammar are bytes from
outside like any other.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

from starlette.datastructures import Headers

from benchmarks.fuzz.target import Target, chosen
from cluster.faults.written import read_fault
from cluster.gateway.chat_request import parse_chat
from cluster.gateway.completion_request import parse_completion
from cluster.gateway.embedding_request import parse_embeddings
from cluster.gateway.fields import Fields
from cluster.gateway.generation import Generation
from cluster.gateway.http.body import check_form, json_of, parse_form
from cluster.gateway.naming import Name
from cluster.gateway.responses.request import parse_response
from cluster.gateway.responses.shelf import Shelf
from cluster.gateway.settings import GatewaySettings
from cluster.gateway.store_request import (
    STORE_NEUTRAL,
    read_attributes,
    read_batch,
    read_chunking,
    read_expiry,
    read_file,
    read_file_ids,
    read_index,
    read_metadata,
    read_search,
)
from workers.errors import InvalidRequest, NotFound
from workers.host.aside import at_once
from workers.model import grammar

NAME, SETTINGS = Name("r", "r"), GatewaySettings()


def _compiled(generation: Generation) -> None:
    for request in generation.requests:
        request.sampling.validate()
        json.dumps(request.to_body())
    shaping = generation.requests[0].sampling.shaping
    if shaping is not None and shaping.constraint is not None:
        grammar.check(shaping.constraint)


def _chat(body: bytes) -> None:
    _compiled(parse_chat(json_of(body), NAME, 0, SETTINGS))


def _completion(body: bytes) -> None:
    _compiled(parse_completion(json_of(body), NAME, 0, SETTINGS))


def _response(body: bytes) -> None:
    _compiled(parse_response(json_of(body), NAME, 0, SETTINGS, Shelf(1, 1)))


def _embeddings(body: bytes) -> None:
    parse_embeddings(json_of(body))


def _store(body: bytes) -> None:
    fields = Fields(json_of(body))
    fields.string("name", "")
    read_metadata(fields)
    read_file_ids(fields, SETTINGS.max_files)
    read_chunking(fields)
    read_expiry(fields)
    read_index(fields)
    fields.refuse_rest(frozenset(), STORE_NEUTRAL)


def _search(body: bytes) -> None:
    read_search(Fields(json_of(body)))


def _files(body: bytes) -> None:
    fields = Fields(json_of(body))
    given = fields.given("attributes")
    read_attributes(given)
    read_batch(Fields(json_of(body)), SETTINGS.max_files)


def _file(body: bytes) -> None:
    read_file(Fields(json_of(body)))


def _form(body: bytes) -> None:
    """A line for the content type, then the form."""
    kind, _, form = body.partition(b"\n")
    headers = Headers({"content-type": kind.decode("latin-1")})
    check_form(headers)
    at_once(parse_form(headers, form))


def _fault(body: bytes) -> None:
    said = json_of(body)
    try:
        read_fault(said)
    except ValueError as error:  # as `/admin/faults` tells it
        raise InvalidRequest(str(error)) from error


ENDPOINTS: tuple[Callable[[bytes], None], ...] = (
    _chat, _completion, _response, _embeddings, _store, _search, _files, _file, _form, _fault,
)  # fmt: skip


def _read(data: bytes) -> None:
    which, body = chosen(data, len(ENDPOINTS))
    ENDPOINTS[which](body)


CHAT: tuple[Mapping[str, Any], ...] = (
    {
        "model": "m", "messages": [{"role": "user", "content": "x"}], "n": 2, "seed": 1,
        "stop": ["a"], "stream": True, "stream_options": {"include_usage": True},
        "logprobs": True, "top_logprobs": 3, "logit_bias": {"5": 1.5}, "max_tokens": 8,
    },
    {
        "model": "m", "messages": [{"role": "user", "content": [{"type": "text", "text": "x"}]}],
        "tools": [{
            "type": "function", "function": {"name": "f", "parameters": {"type": "object"}},
        }], "tool_choice": "required",
    },
    {
        "model": "m", "messages": [{"role": "user", "content": "x"}],
        "response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": {
            "type": "object", "properties": {"a": {"type": "integer", "minimum": 1}},
            "required": ["a"], "oneOf": [{"enum": [1]}, {"pattern": "a+"}],
        }}},
    },
    {"model": "m", "messages": [{"role": "user", "content": "x"}],
     "structured_outputs": {"regex": "[a-z]{2,9}"}},
)  # fmt: skip
OTHERS: tuple[Mapping[str, Any], ...] = (
    {"model": "m", "prompt": [[1, 2], [3]], "echo": True, "temperature": 0.5},
    {"model": "m", "input": "x", "instructions": "y", "text": {"format": {"type": "text"}},
     "metadata": {"a": "b"}, "tools": [{"type": "file_search", "vector_store_ids": ["s"]}]},
    {"model": "m", "input": ["x", "y"], "encoding_format": "base64", "dimensions": 8},
    {"name": "s", "file_ids": ["f"], "metadata": {"a": "b"}, "index": {"kind": "ivf_flat"},
     "chunking_strategy": {"type": "static", "static": {
         "max_chunk_size_tokens": 100, "chunk_overlap_tokens": 20}},
     "expires_after": {"anchor": "last_active_at", "days": 3}},
    {"query": ["x", "y"], "max_num_results": 3, "filters": {"type": "and", "filters": [
        {"type": "eq", "key": "a", "value": 1}, {"type": "in", "key": "b", "value": ["c"]}]},
     "ranking_options": {"ranker": "auto", "score_threshold": 0.1}},
    {"files": [{"file_id": "f", "attributes": {"a": 1, "b": True}}]},
    {"file_id": "f", "attributes": {"a": "b"}, "chunking_strategy": {"type": "auto"}},
)  # fmt: skip
FORM = (
    b"multipart/form-data; boundary=b\n--b\r\nContent-Disposition: form-data; "
    b'name="purpose"\r\n\r\nassistants\r\n--b\r\nContent-Disposition: form-data; name="file"; '
    b'filename="a.txt"\r\nContent-Type: text/plain\r\n\r\nabc\r\n--b--\r\n'
)
FAULTS: tuple[Mapping[str, Any], ...] = (
    {"type": "latency", "source": "decode-0", "destination": "experts", "toxicity": 0.5,
     "attributes": {"latency": "2 us", "jitter": "1 us"}},
    {"type": "partition", "source": "gateway", "destination": "router", "start": "1 ms"},
)  # fmt: skip


def _seeds() -> list[bytes]:
    found = [b"\0" + json.dumps(body).encode() for body in CHAT]
    for which, body in enumerate(OTHERS, 1):
        found.append(bytes([which]) + json.dumps(body).encode())
    found.append(bytes([8]) + FORM)
    return found + [bytes([9]) + json.dumps(body).encode() for body in FAULTS]


TARGET = Target(
    "bodies of each HTTP endpoint, forms and constraints included",
    _read,
    (InvalidRequest, NotFound),
    _seeds,
    ["messages", "content", "role", "$ref", "$defs", "anyOf", "allOf", "oneOf", "properties",
     "additionalProperties", "pattern", "format", "minItems", "maximum", "1e308", "-0", "null",
     "choice", "grammar", "json_schema", "\\ud800", "charset=", "boundary=", "\r\n--b\r\n",
     "filename*=utf-8''", "toxicity", "partition", "attributes"],
)  # fmt: skip
