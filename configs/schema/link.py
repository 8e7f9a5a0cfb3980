"""A node's way to the others. Facts live in `configs/links`, one file a link."""

from typing import Self

from pydantic import Field, field_validator, model_validator

from configs.schema.device import Sharing
from configs.schema.section import Evidence, Name, Section
from configs.units import (
    DURATION,
    MESSAGE_RATE,
    SIZE,
    Bytes,
    BytesPerSecond,
    DurationNs,
    MessagesPerSecond,
    PicojoulePerBit,
)

# Nothing that is done for each message or segment takes longer, and InfiniBand has no smaller MTU:
# so what a message of 2 TB costs is still a time that 64 bits hold.
COST_NS_MAX = 10**9
SEGMENT_BYTES_MIN = 256


class LinkSpec(Section):
    """One endpoint's link, one direction. What a message pays is in `workers/wire/curve.py`.

    latency_ns    of an empty message from one endpoint to the other, one way
    bytes_per_s   of one endpoint, each way
    startup_ns    of each message, at its sender, before its first byte moves; it takes nobody
                  else's time: others may be starting up, or move
    overhead_ns   of each segment, beside its bytes: so long the link is taken for it
    segment_bytes   a longer message goes in segments of this size; None: in one
    max_segments    most segments of a message, which are longer where it needs more; None: any
    messages_per_s  most messages a second that pass, whatever their size; None: any
    sram_bytes    a message up to this size lands in SRAM at its receiver; None: all do
    dram_latency_ns   of a longer one, which lands in DRAM: after its last byte
    pj_per_bit    energy of moving one bit across
    sharing       of messages on their way at once, at each end
    assumed       keys that no source backs
    """

    name: Name
    latency_ns: DurationNs = Field(validation_alias="latency", serialization_alias="latency")
    bytes_per_s: BytesPerSecond = Field(
        validation_alias="bandwidth", serialization_alias="bandwidth"
    )
    startup_ns: DurationNs = Field(
        default=0, validation_alias="startup", serialization_alias="startup"
    )
    overhead_ns: DurationNs = Field(
        default=0, validation_alias="overhead", serialization_alias="overhead"
    )
    segment_bytes: Bytes | None = Field(
        default=None, validation_alias="segment", serialization_alias="segment"
    )
    max_segments: int | None = Field(default=None, ge=1)
    messages_per_s: MessagesPerSecond | None = Field(
        default=None, validation_alias="message_rate", serialization_alias="message_rate"
    )
    sram_bytes: Bytes | None = Field(
        default=None, validation_alias="sram", serialization_alias="sram"
    )
    dram_latency_ns: DurationNs = Field(
        default=0, validation_alias="dram_latency", serialization_alias="dram_latency"
    )
    pj_per_bit: PicojoulePerBit = Field(
        default=0.0, validation_alias="energy", serialization_alias="energy"
    )
    sharing: Sharing = "fair"
    evidence: Evidence = "assumed"
    source: str = ""
    assumed: tuple[str, ...] = ()

    @field_validator("startup_ns", "overhead_ns", "dram_latency_ns")
    @classmethod
    def _is_short(cls, value: int) -> int:
        if value > COST_NS_MAX:
            raise ValueError(
                f"{DURATION.format(value)} is too long: it is paid by each message or segment, and "
                f"at most {DURATION.format(COST_NS_MAX)}"
            )
        return value

    @field_validator("segment_bytes")
    @classmethod
    def _is_long(cls, value: int | None) -> int | None:
        if value is not None and value < SEGMENT_BYTES_MIN:
            raise ValueError(
                f"{SIZE.format(value)} is no segment: it is at least "
                f'{SIZE.format(SEGMENT_BYTES_MIN)}, for example "64 KiB"'
            )
        return value

    @model_validator(mode="after")
    def _costs_agree(self) -> Self:
        """Of keys that only work together none is given alone, and none that never counts."""
        if self.segment_bytes is not None and not self.overhead_ns:
            raise ValueError(
                f"segment is {SIZE.format(self.segment_bytes)} and overhead 0 ns: segments that "
                'cost nothing change nothing; give overhead, for example "340 ns", or leave '
                "segment out"
            )
        if self.max_segments is not None and self.segment_bytes is None:
            raise ValueError(
                f"max_segments is {self.max_segments} and segment is missing: a message goes in "
                'one; give segment, for example "64 KiB", or leave max_segments out'
            )
        if (self.sram_bytes is None) != (not self.dram_latency_ns):
            given, lacking = ("sram", "dram_latency") if self.sram_bytes is not None else (
                "dram_latency", "sram"
            )  # fmt: skip
            raise ValueError(
                f"{given} is given and {lacking} is missing: messages land in SRAM up to a size, "
                'and later in DRAM; give both, for example sram: "4 KiB" and dram_latency: '
                '"500 ns", or neither'
            )
        rate = self.messages_per_s
        if rate is not None and rate * self.overhead_ns > 10**9:
            raise ValueError(
                f"message_rate is {MESSAGE_RATE.format(rate)} and overhead "
                f"{DURATION.format(self.overhead_ns)}: with that no more than "
                f"{10**9 // self.overhead_ns:,} msg/s pass; give a lower message_rate, or leave it "
                "out"
            )
        return self
