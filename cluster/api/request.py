"""What a user asks for."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from workers.model.sampling_params import SamplingParams
from workers.wire.roles import plain_bytes


@dataclass(frozen=True, slots=True)
class Retrieval:
    """Ask for passages: `store` is the vector store, `top_k` how many join the prompt."""

    store: str
    top_k: int = 3


@dataclass(frozen=True, slots=True)
class Request:
    """One generation. Exactly one of `messages`, `prompt` and `prompt_ids` is set.

    request_id   unique; chosen by whoever submits
    model        served model name; unknown names are refused by the router (NotFound)
    messages     chat messages as the model's template reads them: {"role", "content"} and, in
                 OpenAI's form, name, tool_calls, tool_call_id, reasoning_content; of an assistant
                 that called tools "content" may be None
    tools        functions that the model may call, as OpenAI has them: the chat template shows them
    prompt       raw text                     prompt_ids   token ids, taken as they are
    retrieval    passages to fetch first (query = the last user message, or the prompt), or None
    deadline_ns  emulated nanoseconds from arrival, or 0 for the cluster's default
    arrived_ns   point in emulated time at which its user sent it, whatever held it back since;
                 None: when it is submitted
    shortens     nobody asked for its max_tokens: they shrink to the room that the prompt leaves
    """

    request_id: str
    model: str
    sampling: SamplingParams
    messages: tuple[Mapping[str, Any], ...] = ()
    prompt: str | None = None
    prompt_ids: tuple[int, ...] = ()
    retrieval: Retrieval | None = None
    deadline_ns: int = 0
    arrived_ns: int | None = None
    tools: tuple[Mapping[str, Any], ...] = ()
    shortens: bool = False

    def texts(self) -> Iterator[str]:
        """All that its user wrote, but for the names of roles."""
        if self.prompt is not None:
            yield self.prompt
        for message in self.messages:
            for key, value in message.items():
                if key != "role":
                    yield from _texts_in(value)
        yield from _texts_in(self.tools)

    @property
    def num_chars(self) -> int:
        """Of its texts."""
        return sum(map(len, self.texts()))

    def to_body(self) -> dict[str, Any]:
        return {
            "request_id": self.request_id,
            "model": self.model,
            "sampling": self.sampling.to_body(),
            "messages": [dict(m) for m in self.messages],
            "prompt": self.prompt,
            "prompt_ids": list(self.prompt_ids),
            "retrieval": asdict(self.retrieval) if self.retrieval else None,
            "deadline_ns": self.deadline_ns,
            "arrived_ns": self.arrived_ns,
            "tools": [dict(tool) for tool in self.tools],
            "shortens": self.shortens,
        }

    def wire_bytes(self) -> int:
        """Token ids of 4 bytes, the deadline as a point in time of 8, in which the arrival is; all
        else as a compact encoding sends it.
        """
        retrieval = (self.retrieval.store, self.retrieval.top_k) if self.retrieval else None
        asked = (self.messages, self.tools, self.prompt, retrieval)
        facts = (self.request_id, self.model, asked)
        return 4 * len(self.prompt_ids) + 8 + self.sampling.wire_bytes() + plain_bytes(facts)

    @classmethod
    def from_body(cls, body: Mapping[str, Any]) -> "Request":
        retrieval = body.get("retrieval")
        return cls(
            request_id=body["request_id"],
            model=body["model"],
            sampling=SamplingParams.from_body(body["sampling"]),
            messages=tuple(body.get("messages", ())),
            prompt=body.get("prompt"),
            prompt_ids=tuple(body.get("prompt_ids", ())),
            retrieval=Retrieval(**retrieval) if retrieval else None,
            deadline_ns=body.get("deadline_ns", 0),
            arrived_ns=body.get("arrived_ns"),
            tools=tuple(body.get("tools", ())),
            shortens=body.get("shortens", False),
        )


def _texts_in(value: object) -> Iterator[str]:
    """However deep it is nested."""
    left = [value]
    while left:
        inner = left.pop()
        if isinstance(inner, str):
            yield inner
        elif isinstance(inner, Mapping):
            left += [*inner.keys(), *inner.values()]
        elif isinstance(inner, list | tuple):
            left += inner
