"""Responses that are kept, in memory: bounded in number and bytes, the longest unused go first."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any

import orjson

from cluster.gateway.responses.items import Item
from workers.errors import NotFound


@dataclass(frozen=True, slots=True)
class Kept:
    """A response, the items that it answered, and the one that it went on from."""

    response: dict[str, Any]
    items: tuple[Item, ...]
    previous: str | None
    num_bytes: int


class Shelf:
    """Safe between threads: long answers are written, hence kept, beside the event loop."""

    def __init__(self, most: int, most_bytes: int) -> None:
        self._most, self._most_bytes, self._num_bytes = most, most_bytes, 0
        self._kept: OrderedDict[str, Kept] = OrderedDict()
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._kept)

    def add(self, response: dict[str, Any], items: tuple[Item, ...], previous: str | None) -> None:
        """One that alone is too large is not kept; the answer to a request that was sent again
        takes the place of the first.
        """
        num_bytes = len(orjson.dumps(response)) + len(orjson.dumps(items))
        with self._lock:
            before = self._kept.pop(response["id"], None)
            self._num_bytes -= before.num_bytes if before else 0
            self._kept[response["id"]] = Kept(response, items, previous, num_bytes)
            self._num_bytes += num_bytes
            while len(self._kept) > self._most or self._num_bytes > self._most_bytes:
                _, oldest = self._kept.popitem(last=False)
                self._num_bytes -= oldest.num_bytes

    def get(self, response_id: str) -> Kept:
        """Raises NotFound."""
        with self._lock:
            kept = self._kept.get(response_id)
        if kept is None:
            raise NotFound(
                f"no response {response_id!r:.80}: it was not stored, or gave way to newer ones",
                param="response_id",
            )
        return kept

    def remove(self, response_id: str) -> None:
        """Raises NotFound."""
        self.get(response_id)
        with self._lock:
            kept = self._kept.pop(response_id, None)
            self._num_bytes -= kept.num_bytes if kept else 0

    def conversation(self, previous: str | None) -> Sequence[Item]:
        """All that was said up to and in that response. Raises NotFound where one is missing."""
        parts: list[Item] = []
        seen = []
        while previous is not None:
            try:
                kept = self.get(previous)
            except NotFound as error:
                raise NotFound(
                    f"previous_response_id: {error.message}", param="previous_response_id"
                ) from error
            parts[:0] = [*kept.items, *kept.response["output"]]
            seen.append(previous)
            previous = kept.previous
        with self._lock:
            for response_id in reversed(seen):  # in use: the first of a conversation goes first
                if response_id in self._kept:
                    self._kept.move_to_end(response_id)
        return parts
