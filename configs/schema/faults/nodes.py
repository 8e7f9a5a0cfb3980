"""What goes wrong with a node itself: it dies, stops, is slow, or its memory or disk fails."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from configs.schema.faults.links import NoAttributes
from configs.schema.faults.when import AtRandom, OnEvent, OnTransfer
from configs.schema.section import Name, Section
from configs.units import DurationNs, Ratio

_WHEN = ("start", "event", "transfer", "random")
# Of a clock: a tenth. Crystals are off by some hundreds at most.
DRIFT_PPM_MAX = 100_000


class CrashAttributes(Section):
    """Its next incarnation starts `restart_after` its death; left out, none does."""

    restart_after_ns: DurationNs | None = Field(
        default=None, validation_alias="restart_after", serialization_alias="restart_after"
    )


class SlowAttributes(Section):
    """What it launches takes `factor` times as long."""

    factor: float = Field(gt=1, le=1e6)


class PageErrorAttributes(Section):
    """So many stored blocks change by one bit each, which ones is drawn."""

    blocks: int = Field(default=1, ge=1, le=1_000_000)


class OutOfMemoryAttributes(Section):
    """A neighbour takes this share of the room that the node has for KV; left out, all of it."""

    share: Ratio = Field(default=1.0, gt=0, le=1)


class WearOutAttributes(Section):
    """This share of a memory server's flash blocks has reached the end of its life."""

    share: Ratio = Field(gt=0, le=1)


class ClockSkewAttributes(Section):
    """The node's clock is `ahead` or `behind`, and gains `drift` ppm from then on; below 0 it
    loses.
    """

    ahead_ns: DurationNs = Field(default=0, validation_alias="ahead", serialization_alias="ahead")
    behind_ns: DurationNs = Field(
        default=0, validation_alias="behind", serialization_alias="behind"
    )
    drift_ppm: float = Field(
        default=0.0,
        ge=-DRIFT_PPM_MAX,
        le=DRIFT_PPM_MAX,
        validation_alias="drift",
        serialization_alias="drift",
    )

    @model_validator(mode="after")
    def _is_wrong(self) -> Self:
        if self.ahead_ns and self.behind_ns:
            raise ValueError("ahead and behind: a clock is one of the two, keep one of them")
        if not self.ahead_ns and not self.behind_ns and not self.drift_ppm:
            raise ValueError("needs ahead, behind or drift: a clock without any of them is right")
        return self

    @property
    def offset_ns(self) -> int:
        """Ahead; below 0, behind."""
        return self.ahead_ns - self.behind_ns


class _NodeFault(Section):
    """node     its name, or that of a worker on it
    name     by which the trace calls it; left out, fault-N
    start    emulated time; left out, and without another word for when, at once
    event, transfer, random   the other ways to say when: at most one of all is given
    """

    name: Name | None = None
    node: str
    start_ns: DurationNs | None = Field(
        default=None, validation_alias="start", serialization_alias="start"
    )
    event: OnEvent | None = None
    transfer: OnTransfer | None = None
    random: AtRandom | None = None

    @model_validator(mode="after")
    def _happens_once(self) -> Self:
        given = (self.start_ns, self.event, self.transfer, self.random)
        words = [word for word, value in zip(_WHEN, given, strict=True) if value is not None]
        if len(words) > 1:
            raise ValueError(
                f"{' and '.join(words)} both say when: keep one of {', '.join(_WHEN)}, or write a "
                "fault for each"
            )
        return self

    @property
    def places(self) -> dict[str, str]:
        """Key -> the node or worker that it names."""
        return {"node": self.node}


class _Lasting(_NodeFault):
    """duration   emulated time, from when it happens"""

    duration_ns: DurationNs = Field(
        gt=0, validation_alias="duration", serialization_alias="duration"
    )


class CrashFault(_NodeFault):
    """It dies without a word: kill -9, or a machine that loses power."""

    type: Literal["crash"]
    attributes: CrashAttributes = CrashAttributes()


class PauseFault(_Lasting):
    """Its programs stand still, as under SIGSTOP; links and devices end what they have begun."""

    type: Literal["pause"]
    attributes: NoAttributes = NoAttributes()


class SlowFault(_Lasting):
    """A straggler: a chip that throttles, or is shared with somebody."""

    type: Literal["slow"]
    attributes: SlowAttributes


class PageErrorFault(_NodeFault):
    """Bits change in what a memory server keeps, where no checksum is looked at."""

    type: Literal["page_error"]
    attributes: PageErrorAttributes = PageErrorAttributes()


class DiskFullFault(_Lasting):
    """What would take more of its disk fails with ENOSPC."""

    type: Literal["disk_full"]
    attributes: NoAttributes = NoAttributes()


class OutOfMemoryFault(_Lasting):
    """What was free for KV is a neighbour's: no further block can be had."""

    type: Literal["out_of_memory"]
    attributes: OutOfMemoryAttributes = OutOfMemoryAttributes()


class WearOutFault(_NodeFault):
    """Blocks of flash reach the end of their life before their time."""

    type: Literal["wear_out"]
    attributes: WearOutAttributes


class ClockSkewFault(_Lasting):
    """Its clock is wrong: by it deadlines are said and judged, and timeouts run."""

    type: Literal["clock_skew"]
    attributes: ClockSkewAttributes


OF_NODES = (
    CrashFault
    | PauseFault
    | SlowFault
    | PageErrorFault
    | DiskFullFault
    | OutOfMemoryFault
    | WearOutFault
    | ClockSkewFault
)
NodeFault = Annotated[OF_NODES, Field(discriminator="type")]
