"""A response as bytes: events of a stream, or the whole."""

from collections.abc import Sequence
from typing import Any

import orjson

from cluster.api.output import Output
from cluster.gateway.progress import Progress, usage
from cluster.gateway.responses.output import Items, Told
from cluster.gateway.responses.request import ResponseGeneration
from cluster.gateway.responses.shelf import Shelf
from cluster.gateway.tools.reader import Reader
from cluster.text.tool_calls.events import Event, Said


class ResponseAnswer:
    """Writes the answer to one generation, and keeps it where the request says so."""

    def __init__(
        self, generation: ResponseGeneration, tool_format: str, created_s: int, shelf: Shelf
    ) -> None:
        self._generation, self._created_s, self._shelf = generation, created_s, shelf
        self._items = Items(generation.response_id)
        calling, unique = generation.calling, generation.response_id
        self._reader = Reader(calling, unique, tool_format) if calling else None
        self._num_events = 0

    def chunk(self, index: int, output: Output, progresses: Sequence[Progress]) -> bytes:
        """The events that an output leads to."""
        told: list[Told] = []
        if self._num_events == 0:
            shown = self._response("in_progress")
            told = [
                {"type": "response.created", "response": shown},
                {"type": "response.in_progress", "response": shown},
                *self._searched(),
            ]
        told += self._items.push(self._events(output.text, bool(output.finish_reason)))
        return self._written(told)

    def tail(self, progresses: Sequence[Progress]) -> bytes:
        """What follows the last output."""
        is_cut = progresses[0].finish_reason == "length"
        told = self._finished(progresses[0])
        name = "response.incomplete" if is_cut else "response.completed"
        return self._written([*told, {"type": name, "response": self._ended(progresses[0])}])

    def whole(self, progresses: Sequence[Progress]) -> bytes:
        progress = progresses[0]
        self._searched()
        self._items.push(self._events(progress.text, True))
        self._finished(progress)
        return orjson.dumps(self._ended(progress))

    def error(self, body: bytes) -> bytes:
        """How a stream ends that cannot go on; `body` is a whole answer's."""
        said = orjson.loads(body)["error"]
        failed = self._response("failed")
        failed["error"] = {"code": "server_error", "message": said["message"]}
        return self._written([{"type": "response.failed", "response": failed}])

    def _searched(self) -> list[Told]:
        asked = self._generation.asked
        assert asked is not None
        if self._generation.retrieval is None:
            return []
        return self._items.search(asked.query, asked.shows_results)

    def _finished(self, progress: Progress) -> list[Told]:
        asked = self._generation.asked
        assert asked is not None
        told = self._items.finish(progress.finish_reason == "length")
        if self._generation.retrieval is not None and asked.shows_results:
            told += self._items.found(progress.passages)
        return told

    def _events(self, text: str, is_last: bool) -> Sequence[Event]:
        if self._reader is not None:
            return self._reader.push(text, is_last)
        return [Said(text)] if text else []

    def _written(self, told: Sequence[Told]) -> bytes:
        written = []
        for one in told:
            numbered = orjson.dumps({**one, "sequence_number": self._num_events})
            written.append(b"event: %b\ndata: %b\n\n" % (one["type"].encode(), numbered))
            self._num_events += 1
        return b"".join(written)

    def _ended(self, progress: Progress) -> dict[str, Any]:
        is_cut = progress.finish_reason == "length"
        response = self._response("incomplete" if is_cut else "completed")
        if is_cut:
            response["incomplete_details"] = {"reason": "max_output_tokens"}
        response["usage"] = _usage(progress)
        retrieval = self._generation.retrieval
        if retrieval is not None:
            found = {"store": retrieval.store, "top_k": retrieval.top_k}
            response["retrieval"] = found | {"passages": progress.passages}
        if progress.times_ns:
            response["times_ns"] = progress.times_ns
        asked = self._generation.asked
        assert asked is not None
        if asked.is_stored:
            self._shelf.add(response, asked.items, asked.previous)
        return response

    def _response(self, status: str) -> dict[str, Any]:
        generation, asked = self._generation, self._generation.asked
        assert asked is not None
        return {
            "id": generation.response_id,
            "object": "response",
            "created_at": self._created_s,
            "status": status,
            "background": False,
            "error": None,
            "incomplete_details": None,
            "model": generation.model,
            "output": list(self._items.items),
            "previous_response_id": asked.previous,
            "reasoning": {"effort": None, "summary": None},
            "service_tier": "default",
            "store": asked.is_stored,
            "top_logprobs": 0,
            "truncation": "disabled",
            "usage": None,
            **asked.echo,
        }


def _usage(progress: Progress) -> dict[str, Any]:
    told = usage([progress], 1)
    cached = told["prompt_tokens_details"]["cached_tokens"]
    return {
        "input_tokens": told["prompt_tokens"],
        "input_tokens_details": {"cached_tokens": cached, "cache_write_tokens": 0},
        "output_tokens": told["completion_tokens"],
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": told["total_tokens"],
    }
