"""Which experts the tokens of a digest model visit."""

from typing import Any

from pydantic import Field, model_validator

from configs.schema.section import Section
from configs.schema.workload import OneOf

# Written as a word alone.
_WORDS = ("uniform", "balanced")


class Plainly(Section):
    """A choice without parameters."""


class Bursty(Section):
    """Experts of different weight, others in each `stretch` of positions.

    zipf   as of `Routing`
    """

    zipf: float = Field(default=1.0, gt=0, le=100)
    stretch: int = Field(default=64, ge=1, le=2**31 - 1)


class Routing(OneOf):
    """One of these, drawn from the scenario's seed.

    uniform     each expert as likely as any other
    balanced    each expert the same number of tokens in a step of a chip, as near as it goes;
                experts are alike then
    zipf        the expert of rank r as likely as r ** -zipf; each layer has its own ranks
    lognormal   its weight is exp(lognormal * z) with z normal
    bursty      Zipf, with new ranks every so many positions
    replay      file of `perfuse run --record-routing`: what some token of that run chose
    """

    uniform: Plainly | None = None
    balanced: Plainly | None = None
    zipf: float | None = Field(default=None, gt=0, le=100)
    lognormal: float | None = Field(default=None, gt=0, le=100)
    bursty: Bursty | None = None
    replay: str | None = Field(default=None, min_length=1)

    @model_validator(mode="before")
    @classmethod
    def _word(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        if value not in _WORDS:
            raise ValueError(
                f"is {value!r}: it must be {' or '.join(_WORDS)}, or a mapping with one of "
                f"{', '.join(name for name in cls.model_fields if name not in _WORDS)}, for "
                "example {zipf: 1.0}"
            )
        return {value: {}}
