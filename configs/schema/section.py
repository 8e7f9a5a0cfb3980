"""The rules that every part of a scenario shares."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, StringConstraints

# Names end up in dotted keys, in worker names and in file names.
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]

# How well a figure is known; anything not read in a source, or in a summary of it, or computed from
# those, is assumed.
Evidence = Literal["source", "secondary", "derived", "assumed"]


class Section(BaseModel):
    """Frozen; unknown keys fail; in files keys carry no unit suffix (`latency`), in code they do
    (`latency_ns`).
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        validate_default=False,
        populate_by_name=True,
        serialize_by_alias=True,
        allow_inf_nan=False,
    )


# As torch and vLLM call them.
_LONG_NAMES = {"float32": "fp32", "bfloat16": "bf16"}


def short_name(value: object) -> object:
    """Of a dtype, as it is called here."""
    return _LONG_NAMES.get(value, value) if isinstance(value, str) else value
