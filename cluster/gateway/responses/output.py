"""Text and calls become items, and each step on the way an event."""

from collections.abc import Sequence
from typing import Any

from cluster.gateway.responses.items import Item
from cluster.gateway.responses.naming import id_of
from cluster.text.tool_calls.events import Argued, Begun, Event, Said, Thought

Told = dict[str, Any]  # an event without its sequence number

_DELTAS = {"message": "response.output_text", "reasoning": "response.reasoning_text"}


class Items:
    """`items` are those that are complete."""

    def __init__(self, response_id: str) -> None:
        self._response_id = response_id
        self.items: list[Item] = []
        self._open: Item | None = None
        self._pieces: list[str] = []

    def search(self, query: str, shows_results: bool) -> list[Told]:
        """A file search comes first, and is over before a model begins. Its results are known at
        the end: where they are to be shown, it is told as done by `found`.
        """
        item: Item = {"id": self._id("fs"), "type": "file_search_call", "queries": [query]}
        item |= {"results": None}
        told = self._begin(item | {"status": "in_progress"})
        steps = ("in_progress", "searching", "completed")
        told += [self._told(f"response.file_search_call.{step}", item) for step in steps]
        self._open = None
        self.items.append(item | {"status": "completed"})
        return told if shows_results else [*told, self._item_done(0)]

    def found(self, passages: Sequence[str]) -> list[Told]:
        """What the search found, best first."""
        self.items[0] = self.items[0] | {"results": [{"text": text} for text in passages]}
        return [self._item_done(0)]

    def push(self, events: Sequence[Event]) -> list[Told]:
        told: list[Told] = []
        for event in events:
            match event:
                case Said(text):
                    told += self._within("message") + self._piece(text)
                case Thought(text):
                    told += self._within("reasoning") + self._piece(text)
                case Begun(name, call_id):
                    told += self.close() + self._begin(self._call(name, call_id))
                case Argued(text):
                    told += self._piece(text)
        return told

    def finish(self, is_cut: bool) -> list[Told]:
        """An answer has at least one item; what `max_output_tokens` cut says so."""
        told = [] if self._has_said or self._open else self._within("message")
        return told + self.close("incomplete" if is_cut else "completed")

    def close(self, status: str = "completed") -> list[Told]:
        item, self._open = self._open, None
        if item is None:
            return []
        text = "".join(self._pieces)
        if item["type"] == "function_call":
            done = self._told("response.function_call_arguments.done", item, name=item["name"])
            told = [{**done, "arguments": text}]
            item = {**item, "arguments": text}
        else:
            part = _part(item["type"], text)
            name = f"{_DELTAS[item['type']]}.done"
            text_done = {**self._told(name, item, content_index=0), "text": text}
            part_done = self._told("response.content_part.done", item, content_index=0, part=part)
            told = [text_done | _logprobs(item), part_done]
            item = {**item, "content": [part]}
        item = {**item, "status": status}
        self.items.append(item)
        return [*told, self._item_done(len(self.items) - 1)]

    @property
    def _has_said(self) -> bool:
        return any(item["type"] != "file_search_call" for item in self.items)

    def _item_done(self, index: int) -> Told:
        item = self.items[index]
        return {"type": "response.output_item.done", "output_index": index, "item": item}

    def _within(self, kind: str) -> list[Told]:
        """An item of that kind is open."""
        if self._open is not None and self._open["type"] == kind:
            return []
        told = self.close()
        item: Item = {"id": self._id("msg" if kind == "message" else "rs"), "type": kind}
        if kind == "message":
            item |= {"role": "assistant"}
        else:
            item |= {"summary": []}
        told += self._begin(item | {"status": "in_progress", "content": []})
        assert self._open is not None
        part = _part(kind, "")
        added = self._told("response.content_part.added", self._open, content_index=0, part=part)
        return [*told, added]

    def _begin(self, item: Item) -> list[Told]:
        self._open, self._pieces = item, []
        added = {"output_index": len(self.items), "item": item}
        return [{"type": "response.output_item.added", **added}]

    def _piece(self, text: str) -> list[Told]:
        item = self._open
        assert item is not None
        if not text:
            return []
        self._pieces.append(text)
        if item["type"] == "function_call":
            return [self._told("response.function_call_arguments.delta", item, delta=text)]
        name = f"{_DELTAS[item['type']]}.delta"
        return [self._told(name, item, content_index=0, delta=text) | _logprobs(item)]

    def _call(self, name: str, call_id: str) -> Item:
        return {
            "id": self._id("fc"),
            "type": "function_call",
            "status": "in_progress",
            "call_id": call_id,
            "name": name,
            "arguments": "",
        }

    def _told(self, kind: str, item: Item, /, **more: Any) -> Told:
        return {"type": kind, "item_id": item["id"], "output_index": len(self.items), **more}

    def _id(self, kind: str) -> str:
        return id_of(kind, self._response_id, len(self.items))


def _part(kind: str, text: str) -> Told:
    if kind == "reasoning":
        return {"type": "reasoning_text", "text": text}
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _logprobs(item: Item) -> Told:
    return {"logprobs": []} if item["type"] == "message" else {}
