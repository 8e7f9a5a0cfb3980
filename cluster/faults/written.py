"""A fault as people write it, and back: the same words in a scenario, over HTTP and on wires."""

from typing import Any

from pydantic import ValidationError

from configs.schema.faults import FaultRule
from configs.schema.problems import describe
from configs.schema.section import Section
from configs.units import TEXT


class _One(Section):
    fault: FaultRule


def read_fault(body: object) -> FaultRule:
    """Raises ValueError saying each key that is wrong, and what would be right."""
    try:
        return _One.model_validate({"fault": body}, context=dict(TEXT)).fault
    except ValidationError as error:
        lines = (line.removeprefix("fault.") for _, line in describe(_One, error))
        raise ValueError("; ".join(lines)) from error


def write_fault(fault: FaultRule) -> dict[str, Any]:
    """What `read_fault` reads as the same."""
    body: dict[str, Any] = fault.model_dump(mode="json", by_alias=True, exclude_none=True)
    return body
