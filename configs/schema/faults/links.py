"""What goes wrong on links: rules with Toxiproxy's words (type, toxicity, attributes)."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from configs.schema.delays import LatencyAttributes
from configs.schema.faults.when import OnEvent, OnTransfer
from configs.schema.section import Name, Section
from configs.units import BytesPerSecond, DurationNs, Ratio

ANYONE = "*"
Direction = Literal["to", "from", "both"]


class NoAttributes(Section):
    """This fault has nothing to set."""


class DuplicateAttributes(Section):
    """The second copy comes `delay` after the first."""

    delay_ns: DurationNs = Field(default=0, validation_alias="delay", serialization_alias="delay")


class ReorderAttributes(Section):
    """Held back by up to `delay`, evenly: those sent behind it in that time may overtake it."""

    delay_ns: DurationNs = Field(gt=0, validation_alias="delay", serialization_alias="delay")


class BandwidthAttributes(Section):
    """The link that the rule names moves at most `rate` of what is hit."""

    bytes_per_s: BytesPerSecond = Field(validation_alias="rate", serialization_alias="rate")


class _Rule(Section):
    """source, destination   worker or node names, or "*"        kind   message kind, or "*"
    direction  whether it is about what source sends to destination, what comes from there, or both
               (Chaos Mesh's word); left out, `to`, and of a partition `both`
    toxicity   chance that one message is hit       start, duration   emulated time; without a
               duration, for good
    event, transfer   it begins then, instead of at `start`
    name       by which it is listed and removed; left out, fault-N
    """

    name: Name | None = None
    source: str = ANYONE
    destination: str = ANYONE
    kind: str = ANYONE
    direction: Direction | None = None
    toxicity: Ratio = Field(default=1.0, ge=0, le=1)
    start_ns: DurationNs = Field(default=0, validation_alias="start", serialization_alias="start")
    duration_ns: DurationNs | None = Field(
        default=None, validation_alias="duration", serialization_alias="duration"
    )

    event: OnEvent | None = None
    transfer: OnTransfer | None = None

    @model_validator(mode="after")
    def _begins_once(self) -> Self:
        given = {"start": self.start_ns, "event": self.event, "transfer": self.transfer}
        words = [word for word, value in given.items() if value]
        if len(words) > 1:
            raise ValueError(
                f"{' and '.join(words)} both say when: keep one of {', '.join(given)}, or write a "
                "fault for each"
            )
        return self

    @property
    def waits(self) -> bool:
        """Whether it begins with a message, and not at a time."""
        return self.event is not None or self.transfer is not None

    @property
    def places(self) -> dict[str, str]:
        """Key -> the worker or node that it names, or "*"."""
        return {"source": self.source, "destination": self.destination}


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


class ReorderFault(_Rule):
    type: Literal["reorder"]
    attributes: ReorderAttributes


class StallFault(_Rule):
    """Nothing arrives for `duration`; then all that was held comes, in order."""

    type: Literal["stall"]
    duration_ns: DurationNs = Field(validation_alias="duration", serialization_alias="duration")
    attributes: NoAttributes = NoAttributes()


class BandwidthFault(_Rule):
    type: Literal["bandwidth"]
    attributes: BandwidthAttributes


class PartitionFault(_Rule):
    """Nothing passes, in both directions unless it says otherwise."""

    type: Literal["partition"]
    attributes: NoAttributes = NoAttributes()


OF_LINKS = (
    LatencyFault
    | DropFault
    | DuplicateFault
    | CorruptFault
    | ReorderFault
    | StallFault
    | BandwidthFault
    | PartitionFault
)
FaultRule = Annotated[OF_LINKS, Field(discriminator="type")]
