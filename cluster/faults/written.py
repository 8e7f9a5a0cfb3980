"""A fault as people write it, and back: the same words in a scenario, over HTTP and on wires."""

from typing import Any, TypeVar

from pydantic import ValidationError

from configs.schema.faults import Fault, FaultRule
from configs.schema.problems import describe
from configs.schema.section import Section
from configs.units import TEXT

S = TypeVar("S", bound=Section)


class _One(Section):
    fault: FaultRule


class _Any(Section):
    fault: Fault


def read_fault(body: object) -> FaultRule:
    """One of links. Raises ValueError saying each key that is wrong, and what would be right."""
    return _read(_One, body).fault


def read_any(body: object) -> Fault:
    """One of links or of nodes. Raises as `read_fault` does."""
    return _read(_Any, body).fault


def _read(form: type[S], body: object) -> S:
    try:
        return form.model_validate({"fault": body}, context=dict(TEXT))
    except ValidationError as error:
        lines = (line.removeprefix("fault.") for _, line in describe(form, error))
        raise ValueError("; ".join(lines)) from error


def write_fault(fault: Fault) -> dict[str, Any]:
    """What `read_any` reads as the same."""
    body: dict[str, Any] = fault.model_dump(mode="json", by_alias=True, exclude_none=True)
    return body
