"""Answers as bytes: one chunk of a stream, or the whole.

A chunk is built by hand: what is the same in all chunks of a stream is encoded once, and only the
text goes through orjson. That is 1-2 us a chunk, where a tree of pydantic models takes over 50.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import orjson

from cluster.api.output import Output
from cluster.gateway.generation import Generation
from cluster.gateway.progress import Progress, usage

DONE = b"data: [DONE]\n\n"


class Form(Protocol):
    """How one of the two APIs writes a choice."""

    chunk_object: str
    whole_object: str

    def delta(self, index: int, output: Output, progress: Progress, first: bool) -> bytes:
        """A choice of a chunk, as JSON without its closing brace, or b"" where there is nothing to
        show; `progress` has seen `output`.
        """
        ...

    def choice(self, index: int, progress: Progress, logprobs: int | None) -> dict[str, Any]: ...


class Writer(Protocol):
    """What a generation's outputs become. Each is for one generation, and told all of it."""

    def chunk(self, index: int, output: Output, progresses: Sequence[Progress]) -> bytes: ...

    def tail(self, progresses: Sequence[Progress]) -> bytes: ...

    def whole(self, progresses: Sequence[Progress]) -> bytes: ...

    def error(self, body: bytes) -> bytes: ...


class Answer:
    """Writes the answer to one generation. `created_s` is Unix seconds."""

    def __init__(self, generation: Generation, form: Form, created_s: int) -> None:
        self._generation = generation
        self._form = form
        self._created_s = created_s
        head = orjson.dumps(self._head(form.chunk_object))[:-1]
        self._prefix = b"data: " + head + b',"choices":['
        # OpenAI: with include_usage, all chunks but the last carry a null usage.
        self._suffix = b'],"usage":null}\n\n' if generation.include_usage else b"]}\n\n"
        self._started = [False] * len(generation.requests)

    def chunk(self, index: int, output: Output, progresses: Sequence[Progress]) -> bytes:
        """One SSE event, or b"" where the output has nothing to show yet (text held back)."""
        if not (output.text or output.logprobs or output.finish_reason or output.approximate):
            return b""
        first = not self._started[index]
        progress = progresses[index]
        choice = self._form.delta(index, output, progress, first)
        if not choice:
            return b""
        self._started[index] = True
        if output.approximate:
            choice += b',"approximate":' + orjson.dumps(output.approximate)
        suffix = self._suffix
        if self._generation.usage_each:
            used = orjson.dumps(usage(progresses, self._generation.n))
            suffix = b'],"usage":' + used + b"}\n\n"
        if output.finish_reason and (extras := self._extras(progress)):
            suffix = b"]," + orjson.dumps(extras)[1:-1] + suffix[1:]
        return b"".join((self._prefix, choice, b"}", suffix))

    def tail(self, progresses: Sequence[Progress]) -> bytes:
        """What follows the last choice's last chunk."""
        if not self._generation.include_usage:
            return DONE
        used = orjson.dumps(usage(progresses, self._generation.n))
        return self._prefix + b'],"usage":' + used + b"}\n\n" + DONE

    def whole(self, progresses: Sequence[Progress]) -> bytes:
        """One choice after the other, so that none of many holds Python's lock for long."""
        rest = {"usage": usage(progresses, self._generation.n), **self._extras(progresses[0])}
        head = orjson.dumps(self._head(self._form.whole_object))[:-1] + b',"choices":['
        choices = [orjson.dumps(self._choice(i, one)) for i, one in enumerate(progresses)]
        return b"".join((head, b",".join(choices), b"],", orjson.dumps(rest)[1:]))

    def error(self, body: bytes) -> bytes:
        """How a stream ends that cannot go on: the error as an event, then [DONE]."""
        return b"data: " + body + b"\n\n" + DONE

    def _choice(self, index: int, progress: Progress) -> dict[str, Any]:
        logprobs = self._generation.requests[index].sampling.logprobs
        choice = self._form.choice(index, progress, logprobs)
        if progress.approximate:
            choice["approximate"] = progress.approximate
        return choice

    def _head(self, kind: str) -> dict[str, Any]:
        return {
            "id": self._generation.response_id,
            "object": kind,
            "created": self._created_s,
            "model": self._generation.model,
        }

    def _extras(self, progress: Progress) -> dict[str, Any]:
        """What we tell beyond OpenAI's fields: passages, and where the (emulated) time went."""
        extras: dict[str, Any] = {}
        retrieval = self._generation.retrieval
        if retrieval is not None:
            extras["retrieval"] = {
                "store": retrieval.store,
                "top_k": retrieval.top_k,
                "passages": progress.passages,
            }
        if progress.times_ns:
            extras["times_ns"] = progress.times_ns
        return extras
