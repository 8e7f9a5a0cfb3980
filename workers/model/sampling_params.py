"""How the tokens of one request are chosen."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from configs.outside import shown
from workers.errors import InvalidRequest
from workers.model.shaping import Shaping

# OpenAI's own limit of strings. Each token is compared with all strings and ids, of every stream of
# a step at once, so both are bounded.
STOPS_MAX, STOP_CHARS_MAX, STOP_TOKENS_MAX = 4, 1024, 128


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """How tokens are chosen. Raises InvalidRequest on values out of range (`validate`).

    temperature 0 is greedy. top_k 0 means all. logprobs None means none are wanted; 0 means the
    chosen token's only; k adds the k most likely. return_logits sends each token's row of logits
    along: to compare with other implementations, not to serve. shaping None changes no logit.
    Before min_tokens no end token is chosen, and no stop string looked for.
    """

    max_tokens: int = 16
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    seed: int = 0
    stop: tuple[str, ...] = ()
    stop_token_ids: tuple[int, ...] = ()
    ignore_eos: bool = False
    min_tokens: int = 0
    logprobs: int | None = None
    return_logits: bool = False
    shaping: Shaping | None = None

    @property
    def may_end(self) -> bool:
        """Whether an end token ends it. The end of what a grammar allows is an end for anybody."""
        return not self.ignore_eos or (
            self.shaping is not None and self.shaping.constraint is not None
        )

    def validate(self) -> None:
        """Raise InvalidRequest naming the first parameter that is out of range."""
        checks = (
            (self.max_tokens >= 1, "max_tokens", self.max_tokens, "at least 1"),
            (
                0 <= self.min_tokens <= self.max_tokens,
                "min_tokens",
                self.min_tokens,
                f"between 0 and max_tokens ({self.max_tokens})",
            ),
            (0.0 <= self.temperature <= 2.0, "temperature", self.temperature, "between 0 and 2"),
            (0.0 < self.top_p <= 1.0, "top_p", self.top_p, "above 0 and at most 1"),
            (0 <= self.top_k < 1 << 63, "top_k", self.top_k, "0 (all) or more, in 64 bits"),
            (len(self.stop) <= STOPS_MAX, "stop", _many(self.stop), f"at most {STOPS_MAX} strings"),
            (all(self.stop), "stop", list(self.stop[:STOPS_MAX]), "non-empty strings"),
            (
                max(map(len, self.stop), default=0) <= STOP_CHARS_MAX,
                "stop",
                f"{max(map(len, self.stop), default=0)} characters long",
                f"at most {STOP_CHARS_MAX}",
            ),
            (
                len(self.stop_token_ids) <= STOP_TOKENS_MAX,
                "stop_token_ids",
                _many(self.stop_token_ids),
                f"at most {STOP_TOKENS_MAX} ids",
            ),
            (
                self.logprobs is None or 0 <= self.logprobs <= 20,
                "logprobs",
                self.logprobs,
                "between 0 and 20",
            ),
        )
        for holds, name, value, right in checks:
            if not holds:
                said = value if isinstance(value, str) else shown(value)
                raise InvalidRequest(f"{name} is {said}: it must be {right}", param=name)
        if self.shaping is not None:
            self.shaping.validate()

    def to_body(self) -> dict[str, Any]:
        return asdict(self)

    def wire_bytes(self) -> int:
        """Numbers of 8 bytes (max_tokens, temperature, top_p, top_k, seed and, where wanted,
        logprobs and min_tokens), truth values of 1, stop strings in UTF-8, token ids of 8; and the
        shaping's.
        """
        stops = sum(len(stop.encode()) for stop in self.stop)
        numbers = 5 + (self.logprobs is not None) + (self.min_tokens > 0)
        numbers += len(self.stop_token_ids)
        shaping = 0 if self.shaping is None else self.shaping.wire_bytes()
        return 8 * numbers + 2 + stops + shaping

    @classmethod
    def from_body(cls, body: Mapping[str, Any]) -> "SamplingParams":
        known = dict(body)
        known["stop"] = tuple(known.get("stop", ()))
        known["stop_token_ids"] = tuple(known.get("stop_token_ids", ()))
        if known.get("shaping") is not None:
            known["shaping"] = Shaping.from_body(known["shaping"])
        return cls(**known)


def _many(values: Sequence[object]) -> str:
    """A list that is too long to be shown."""
    return f"a list of {len(values)}"
