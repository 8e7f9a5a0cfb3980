"""What changes a request's logits before a token is chosen: plain data, as it travels.

The order is vLLM's: what the constraint forbids goes first; log-probabilities are of what is left;
then biases are added, then penalties, and the token is chosen.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

from configs.outside import shown
from workers.errors import InvalidRequest

# OpenAI's own limit of biases. The worst schema of this size takes 0.8 s to compile.
BIASES_MAX, CONSTRAINT_BYTES_MAX = 300, 1 << 16
BIAS_MAX, PENALTY_MAX = 100.0, 2.0
# Beyond these, float32 logits would end in infinities.
REPETITION_MIN, REPETITION_MAX = 0.01, 100.0

ConstraintKind = Literal["json_schema", "regex", "choice", "grammar"]


@dataclass(frozen=True, slots=True)
class Constraint:
    """Every answer is a text of this language, or where max_tokens cuts it, the beginning of one.

    kind      "json_schema": JSON text that is valid under a JSON schema; "regex"; "choice": one of
              some texts; "grammar": a context-free one, in llguidance's dialect of Lark or in GBNF
    text      the schema as JSON, the expression, a JSON list of the texts, or the grammar
    said_by   the field of the request that asked for it, as errors name it
    """

    kind: ConstraintKind
    text: str
    said_by: str = field(default="response_format", compare=False)

    def validate(self) -> None:
        """Its form and its size; `workers.model.grammar` says whether it means something."""
        if self.kind not in get_args(ConstraintKind):
            raise InvalidRequest(f"{self.said_by}: no constraint is of kind {shown(self.kind)}")
        try:
            size = len(self.text.encode())
        except UnicodeEncodeError as error:
            text = f"{self.said_by} is no text: it has half of a surrogate pair"
            raise InvalidRequest(text, param=self.said_by) from error
        if size > CONSTRAINT_BYTES_MAX:
            raise InvalidRequest(
                f"{self.said_by} has {size} bytes: at most {CONSTRAINT_BYTES_MAX} are read",
                param=self.said_by,
            )


@dataclass(frozen=True, slots=True)
class Shaping:
    """Raises InvalidRequest on values out of range (`validate`).

    logit_bias           (token id, what is added to its logit), by id
    presence_penalty     is subtracted from the logit of each token that the answer has
    frequency_penalty    the same, times how often the answer has it
    repetition_penalty   divides positive logits of tokens in prompt or answer, multiplies negative
                         ones
    """

    constraint: Constraint | None = None
    logit_bias: tuple[tuple[int, float], ...] = ()
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    repetition_penalty: float = 1.0

    @classmethod
    def of(cls, **wanted: Any) -> "Shaping | None":
        """None where nothing would change, so that a request without any costs what it did."""
        shaping = cls(**wanted)
        return None if shaping == cls() else shaping

    def validate(self) -> None:
        """Raise InvalidRequest naming the first parameter that is out of range."""
        for name, low, high in (
            ("presence_penalty", -PENALTY_MAX, PENALTY_MAX),
            ("frequency_penalty", -PENALTY_MAX, PENALTY_MAX),
            ("repetition_penalty", REPETITION_MIN, REPETITION_MAX),
        ):
            if not low <= getattr(self, name) <= high:
                text = f"{name} is {getattr(self, name)}: it must be between {low:g} and {high:g}"
                raise InvalidRequest(text, param=name)
        if self.constraint is not None:
            self.constraint.validate()
        self._check_biases()

    def _check_biases(self) -> None:
        if len(self.logit_bias) > BIASES_MAX:
            text = f"logit_bias has {len(self.logit_bias)} tokens: at most {BIASES_MAX} are read"
            raise InvalidRequest(text, param="logit_bias")
        last = -1
        for token, bias in self.logit_bias:
            if token <= last:
                text = "logit_bias must name tokens by ids of 0 or more, in order and once each"
                raise InvalidRequest(text, param="logit_bias")
            if not -BIAS_MAX <= bias <= BIAS_MAX:
                text = f"is {shown(bias)}: it must be between {-BIAS_MAX:g} and {BIAS_MAX:g}"
                raise InvalidRequest(f"logit_bias of token {token} {text}", param="logit_bias")
            last = token

    def check_vocabulary(self, vocab: int) -> None:
        """Raise InvalidRequest where a token is named that the model does not have."""
        token = self.logit_bias[-1][0] if self.logit_bias else 0
        if token >= vocab:
            text = f"logit_bias names token {token}: the model's go from 0 to {vocab - 1}"
            raise InvalidRequest(text, param="logit_bias")

    def to_body(self) -> dict[str, Any]:
        return asdict(self)

    def wire_bytes(self) -> int:
        """Three penalties, and an id and a number for each bias, of 8 bytes each; a constraint's
        kind of 1, and its text in UTF-8.
        """
        numbers = 3 + 2 * len(self.logit_bias)
        text = 0 if self.constraint is None else 1 + len(self.constraint.text.encode())
        return 8 * numbers + text

    @classmethod
    def from_body(cls, body: Mapping[str, Any]) -> "Shaping":
        known = dict(body)
        known["logit_bias"] = tuple((token, bias) for token, bias in known["logit_bias"])
        if known["constraint"] is not None:
            known["constraint"] = Constraint(**known["constraint"])
        return cls(**known)
