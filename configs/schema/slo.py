"""What users were promised, and when they are turned away."""

from pydantic import Field

from configs.schema.section import Section
from configs.units import DurationNs


class Admission(Section):
    """Beyond `max_queue` waiting requests the next one is refused (HTTP 429)."""

    max_queue: int = Field(default=1024, ge=1, le=1_000_000)


class SloSection(Section):
    """All in emulated time. ttft, tpot: goodput counts requests that meet both; None promises
    nothing.

    deadline   a request that states none ends by then, answered or with an error
    """

    ttft_ns: DurationNs | None = Field(
        default=None, validation_alias="ttft", serialization_alias="ttft"
    )
    tpot_ns: DurationNs | None = Field(
        default=None, validation_alias="tpot", serialization_alias="tpot"
    )
    deadline_ns: DurationNs = Field(
        default=60_000_000_000, gt=0, validation_alias="deadline", serialization_alias="deadline"
    )
    admission: Admission = Admission()
