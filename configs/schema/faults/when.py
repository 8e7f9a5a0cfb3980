"""When a node's fault happens: at a time, an event, a point of a KV transfer, or at random."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from configs.schema.section import Section
from configs.units import DurationNs

# Of one fault at random: each is a timer from the start on.
TIMES_MAX = 10_000

Nth = Annotated[int, Field(ge=1)]
Point = Literal["before", "in_flight", "moved"]


class OnEvent(Section):
    """When the `nth` message of a kind is sent, by whomever; of a request alone, or of a layer.

    request   as its reader named it
    """

    kind: str
    nth: Nth = 1
    request: str | None = None
    layer: int | None = Field(default=None, ge=0)


class OnTransfer(Section):
    """At a point of the `nth` transfer of KV from a prefill to a decode chip that gets there.

    before      its prefill is asked for: room is reserved, and no block has moved
    in_flight   the first of its blocks are sent
    moved       all of its blocks are there, and the notice of it, `start`, is lost on its way
    """

    point: Point
    nth: Nth = 1
    request: str | None = None


class AtRandom(Section):
    """`count` times, at instants drawn evenly from the first `within` of the run; or `rate` times a
    second in the mean, at gaps drawn from an exponential distribution.
    """

    within_ns: DurationNs = Field(gt=0, validation_alias="within", serialization_alias="within")
    count: int | None = Field(default=None, ge=1, le=TIMES_MAX)
    rate_per_s: float | None = Field(
        default=None, gt=0, validation_alias="rate", serialization_alias="rate"
    )

    @model_validator(mode="after")
    def _says_how_often(self) -> Self:
        if (self.count is None) == (self.rate_per_s is None):
            raise ValueError(
                "needs count or rate, and one of them alone: how many times within the span, or "
                "how many times a second"
            )
        if self.rate_per_s is not None and self.rate_per_s * self.within_ns > TIMES_MAX * 1e9 / 2:
            raise ValueError(
                f"rate {self.rate_per_s:g} over the span of {self.within_ns / 1e9:g} s is "
                f"{self.rate_per_s * self.within_ns / 1e9:.0f} times: it must be at most "
                f"{TIMES_MAX // 2}"
            )
        return self
