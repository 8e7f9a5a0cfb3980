"""What a user asks for, and what comes back: plain data that all sides share."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workers.errors import InvalidRequest


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """How tokens are chosen. Raises InvalidRequest on values out of range (`validate`).

    temperature 0 is greedy. top_k 0 means all. logprobs None means none are wanted; 0 means the
    chosen token's only; k adds the k most likely. return_logits sends each token's row of logits
    along: to compare with other implementations, not to serve.
    """

    max_tokens: int = 16
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    seed: int = 0
    stop: tuple[str, ...] = ()
    stop_token_ids: tuple[int, ...] = ()
    ignore_eos: bool = False
    logprobs: int | None = None
    return_logits: bool = False

    def validate(self) -> None:
        """Raise InvalidRequest naming the first parameter that is out of range."""
        checks = (
            (self.max_tokens >= 1, "max_tokens", self.max_tokens, "at least 1"),
            (0.0 <= self.temperature <= 2.0, "temperature", self.temperature, "between 0 and 2"),
            (0.0 < self.top_p <= 1.0, "top_p", self.top_p, "above 0 and at most 1"),
            (self.top_k >= 0, "top_k", self.top_k, "0 (all) or more"),
            (len(self.stop) <= 4, "stop", list(self.stop), "at most 4 strings"),
            (all(self.stop), "stop", list(self.stop), "non-empty strings"),
            (
                self.logprobs is None or 0 <= self.logprobs <= 20,
                "logprobs",
                self.logprobs,
                "between 0 and 20",
            ),
        )
        for holds, name, value, right in checks:
            if not holds:
                raise InvalidRequest(f"{name} is {value!r}: it must be {right}", param=name)

    def to_body(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_body(cls, body: Mapping[str, Any]) -> "SamplingParams":
        known = dict(body)
        known["stop"] = tuple(known.get("stop", ()))
        known["stop_token_ids"] = tuple(known.get("stop_token_ids", ()))
        return cls(**known)


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
    messages     chat messages, each {"role", "content"}
    prompt       raw text                     prompt_ids   token ids, taken as they are
    retrieval    passages to fetch first (query = the last user message, or the prompt), or None
    deadline_ns  emulated nanoseconds from submission, or 0 for the cluster's default
    """

    request_id: str
    model: str
    sampling: SamplingParams
    messages: tuple[Mapping[str, str], ...] = ()
    prompt: str | None = None
    prompt_ids: tuple[int, ...] = ()
    retrieval: Retrieval | None = None
    deadline_ns: int = 0

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
        }

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
        )


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """Natural-log probability of one chosen token, and of the most likely ones.

    top   (token_id, text, logprob) each, most likely first
    """

    token_id: int
    text: str
    logprob: float
    top: tuple[tuple[int, str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Output:
    """One step of a stream: new tokens and the text that they complete (maybe none yet).

    position       stream position of the first token in `token_ids`; positions are delivered once,
                   in order
    text           text newly safe to show (held back while a stop string or a UTF-8 character is
                   incomplete)
    finish_reason  "" while running; at the end "stop", "length", "cancelled" or "error"
    num_prompt_tokens, num_cached_tokens   set in every output; cached = found in a KV cache, never
                                           recomputed
    times          at the end: emulated nanoseconds by phase (queue, retrieval, prefill,
                   kv_transfer, attention, expert_wait, sampling ...) for the breakdown
    passages       at the end: retrieved passage texts, in rank order
    logits         [tokens, V] float32 where return_logits asked for them; travels beside the body
    approximate    positions whose token is approximate (a straggler's share replaced), flagged by
                   law 5
    """

    request_id: str
    position: int
    token_ids: tuple[int, ...] = ()
    text: str = ""
    logprobs: tuple[TokenLogprob, ...] = ()
    finish_reason: str = ""
    error: Mapping[str, Any] | None = None
    num_prompt_tokens: int = 0
    num_cached_tokens: int = 0
    num_output_tokens: int = 0
    times: Mapping[str, int] = field(default_factory=dict)
    passages: tuple[str, ...] = ()
    approximate: tuple[int, ...] = ()
    logits: "NDArray[np.float32] | None" = None

    def to_body(self) -> dict[str, Any]:
        """All but the logits; what is empty stays out, since there is one of these a token."""
        body: dict[str, Any] = {
            "request_id": self.request_id,
            "position": self.position,
            "token_ids": list(self.token_ids),
            "text": self.text,
            "num_prompt_tokens": self.num_prompt_tokens,
            "num_cached_tokens": self.num_cached_tokens,
            "num_output_tokens": self.num_output_tokens,
        }
        if self.logprobs:
            body["logprobs"] = [asdict(logprob) for logprob in self.logprobs]
        for name in ("finish_reason", "error", "times", "passages", "approximate"):
            if value := getattr(self, name):
                body[name] = value
        return body

    @classmethod
    def from_body(cls, body: Mapping[str, Any]) -> "Output":
        known = dict(body)
        for name in ("token_ids", "passages", "approximate"):
            if name in known:
                known[name] = tuple(known[name])
        if "logprobs" in known:
            known["logprobs"] = tuple(
                TokenLogprob(
                    p["token_id"], p["text"], p["logprob"], tuple(tuple(t) for t in p["top"])
                )
                for p in known["logprobs"]
            )
        return cls(**known)
