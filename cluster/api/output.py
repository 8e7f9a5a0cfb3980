"""What comes back of a request, a token or a few at a time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workers.wire.roles import plain_bytes

# Phases of a request in the order in which it meets them, and how people call them. None overlap.
# What is left of its time is DELIVERY: on its way between gateway, router and chips, and waiting to
# be sent there; in a live world also what its host took beyond that.
PHASES: Mapping[str, str] = {
    "retrieval": "retrieval",
    "preparation": "preparation",
    "queue": "queue",
    "prefill": "prefill",
    "kv_transfer": "KV transfer",
    "preempted": "preempted",
    "attention": "attention",
    "expert_wait": "expert wait",
    "sampling": "sampling",
}
DELIVERY = "delivery"
# Hardly ever met: reports show them where somebody met them.
RARE_PHASES = ("preempted",)
# Those that are over when decode begins.
BEFORE_DECODE = ("retrieval", "preparation", "queue", "prefill", "kv_transfer")


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """Natural-log probability of one chosen token, and of the most likely ones.

    data    what the token stands for: bytes, since it may be part of a character
    top     (token_id, data, logprob) each, most likely first
    shown   whether the answer's text has it: special tokens and the one that ends it are left out
    """

    token_id: int
    data: bytes
    logprob: float
    top: tuple[tuple[int, bytes, float], ...] = ()
    shown: bool = True

    def wire_bytes(self) -> int:
        """Id and probability of 4 bytes each, and the bytes, of every token named; `shown` of 1."""
        named = (self.data, *(data for _, data, _ in self.top))
        return 8 * len(named) + sum(map(len, named)) + 1

    def to_body(self) -> list[Any]:
        """JSON has no bytes: each is a character."""
        top = [(token_id, data.decode("latin-1"), p) for token_id, data, p in self.top]
        return [self.token_id, self.data.decode("latin-1"), self.logprob, top, self.shown]

    @classmethod
    def from_body(cls, row: Sequence[Any]) -> "TokenLogprob":
        token_id, text, logprob, told, shown = row
        top = tuple((other, data.encode("latin-1"), p) for other, data, p in told)
        return cls(token_id, text.encode("latin-1"), logprob, top, shown)


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
    late_ns        how long before they were told each token was sampled, where that was not at
                   once: folded chips tell of several steps together
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
    late_ns: tuple[int, ...] = ()

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
            body["logprobs"] = [logprob.to_body() for logprob in self.logprobs]
        for name in ("finish_reason", "error", "times", "passages", "approximate", "late_ns"):
            if value := getattr(self, name):
                body[name] = value
        return body

    def wire_bytes(self) -> int:
        """What a stream's reader is sent: ids and counts of 4 bytes, texts in UTF-8. Not where time
        went: that is for our reports alone.
        """
        ids = len(self.token_ids) + len(self.approximate)
        facts = (self.request_id, self.text, self.finish_reason, self.error, self.passages)
        logprobs = sum(logprob.wire_bytes() for logprob in self.logprobs)
        return 4 * (4 + ids) + logprobs + plain_bytes(facts)

    @classmethod
    def from_body(cls, body: Mapping[str, Any]) -> "Output":
        known = dict(body)
        for name in ("token_ids", "passages", "approximate", "late_ns"):
            if name in known:
                known[name] = tuple(known[name])
        if "logprobs" in known:
            known["logprobs"] = tuple(map(TokenLogprob.from_body, known["logprobs"]))
        return cls(**known)
