"""What goes wrong on links: a list of rules with Toxiproxy's words (type, toxicity, attributes)."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from configs.schema.section import Section
from configs.units import BytesPerSecond, DurationNs, Ratio

ANYONE = "*"


class NoAttributes(Section):
    """This fault has nothing to set."""


class LatencyAttributes(Section):
    """Each message is late by `latency`, plus or minus up to `jitter`."""

    latency_ns: DurationNs = Field(validation_alias="latency", serialization_alias="latency")
    jitter_ns: DurationNs = Field(
        default=0, validation_alias="jitter", serialization_alias="jitter"
    )

    @model_validator(mode="after")
    def _never_early(self) -> Self:
        if self.jitter_ns > self.latency_ns:
            raise ValueError(
                f"jitter is {self.jitter_ns} ns and latency {self.latency_ns} ns: "
                "a message cannot come early, so jitter must be at most the latency"
            )
        return self


class DuplicateAttributes(Section):
    """The second copy comes `delay` after the first."""

    delay_ns: DurationNs = Field(default=0, validation_alias="delay", serialization_alias="delay")


class BandwidthAttributes(Section):
    """The link that the rule names moves at most `rate` of what is hit."""

    bytes_per_s: BytesPerSecond = Field(validation_alias="rate", serialization_alias="rate")


class _Rule(Section):
    """source, destination   worker or node names, or "*"        kind   message kind, or "*"
    toxicity   chance that one message is hit       start, duration   emulated time; without a
               duration, for good
    """

    source: str = ANYONE
    destination: str = ANYONE
    kind: str = ANYONE
    toxicity: Ratio = Field(default=1.0, ge=0, le=1)
    start_ns: DurationNs = Field(default=0, validation_alias="start", serialization_alias="start")
    duration_ns: DurationNs | None = Field(
        default=None, validation_alias="duration", serialization_alias="duration"
    )


class LatencyFault(_Rule):
    type: Literal["latency"]
    attributes: LatencyAttributes


class DropFault(_Rule):
    type: Literal["drop"]
    attributes: NoAttributes = NoAttributes()


class DuplicateFault(_Rule):
    type: Literal["duplicate"]
    attributes: DuplicateAttributes = DuplicateAttributes()


class CorruptFault(_Rule):
    type: Literal["corrupt"]
    attributes: NoAttributes = NoAttributes()


class BandwidthFault(_Rule):
    type: Literal["bandwidth"]
    attributes: BandwidthAttributes


class PartitionFault(_Rule):
    """Nothing passes, in both directions."""

    type: Literal["partition"]
    attributes: NoAttributes = NoAttributes()


FaultRule = Annotated[
    LatencyFault | DropFault | DuplicateFault | CorruptFault | BandwidthFault | PartitionFault,
    Field(discriminator="type"),
]
