"""A machine as figures: compute, memory tiers, energy, price. Facts live in `configs/devices`, one
file a device.
"""

from collections.abc import Mapping
from typing import Self

from pydantic import Field, model_validator

from configs.nearest import nearest
from configs.schema.section import Evidence, Name, Section
from configs.units import (
    Bytes,
    BytesPerSecond,
    DurationNs,
    FlopsPerSecond,
    Picojoule,
    PicojoulePerBit,
    Ratio,
    UsDollar,
    Watts,
)


class TierSpec(Section):
    """One memory tier of a machine.

    capacity_bytes        usable, not raw
    read/write_bytes_per_s   peak; `efficiency` of it is what long streams reach
    read/write_latency_ns    from request to first byte
    page_bytes            smallest unit moved: smaller accesses cost a whole page
    queue_depth           most pages in flight at once: with few, latency bounds bandwidth to depth
                          x page / latency
    endurance_cycles      program/erase cycles a page survives, or None where wear is of no concern
    read/write_pj_per_bit    energy of the access
    assumed               keys of this tier that no source backs
    """

    capacity_bytes: Bytes = Field(validation_alias="capacity", serialization_alias="capacity", gt=0)
    read_bytes_per_s: BytesPerSecond = Field(
        validation_alias="read", serialization_alias="read", gt=0
    )
    write_bytes_per_s: BytesPerSecond = Field(
        validation_alias="write", serialization_alias="write", gt=0
    )
    efficiency: Ratio = Field(default=1.0, gt=0, le=1)
    read_latency_ns: DurationNs = Field(
        validation_alias="read_latency", serialization_alias="read_latency"
    )
    write_latency_ns: DurationNs = Field(
        validation_alias="write_latency", serialization_alias="write_latency"
    )
    page_bytes: Bytes = Field(validation_alias="page", serialization_alias="page", gt=0)
    queue_depth: int = Field(ge=1)
    endurance_cycles: int | None = Field(default=None, ge=1)
    read_pj_per_bit: PicojoulePerBit = Field(
        validation_alias="read_energy", serialization_alias="read_energy"
    )
    write_pj_per_bit: PicojoulePerBit = Field(
        validation_alias="write_energy", serialization_alias="write_energy"
    )
    evidence: Evidence = "assumed"
    source: str = ""
    assumed: tuple[str, ...] = ()

    @property
    def sustained_read_bytes_per_s(self) -> int:
        """What long reads reach: peak times efficiency."""
        return int(self.read_bytes_per_s * self.efficiency)

    @property
    def sustained_write_bytes_per_s(self) -> int:
        """What long writes reach: peak times efficiency."""
        return int(self.write_bytes_per_s * self.efficiency)


class DeviceSpec(Section):
    """One machine that workers stand on.

    compute              dtype ("fp32", "bf16", "fp8", ...) -> dense peak; `compute_efficiency` of
                         it is reached
    launch_overhead_ns   of each kernel, before it touches anything
    flop_pj              energy of one floating-point operation (a multiply-add is two)
    idle_watts, tdp_watts   drawn doing nothing; most it may draw
    price_usd            of one, to buy
    default_tier         where weights, KV and collections go unless the placement says otherwise
    assumed              dotted keys of this device that no source backs (tiers list their own)
    """

    name: Name
    compute: Mapping[Name, FlopsPerSecond] = Field(min_length=1)
    compute_efficiency: Ratio = Field(default=1.0, gt=0, le=1)
    tiers: Mapping[Name, TierSpec] = Field(min_length=1)
    default_tier: str
    launch_overhead_ns: DurationNs = Field(
        default=0, validation_alias="launch_overhead", serialization_alias="launch_overhead"
    )
    flop_pj: Picojoule = Field(
        default=0.0, validation_alias="flop_energy", serialization_alias="flop_energy"
    )
    idle_watts: Watts = Field(
        default=0.0, validation_alias="idle_power", serialization_alias="idle_power"
    )
    tdp_watts: Watts = Field(validation_alias="tdp", serialization_alias="tdp")
    price_usd: UsDollar | None = Field(
        default=None, validation_alias="price", serialization_alias="price"
    )
    evidence: Evidence = "assumed"
    source: str = ""
    assumed: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _default_tier_exists(self) -> Self:
        if self.default_tier not in self.tiers:
            raise ValueError(
                f"default_tier is {self.default_tier!r}: {nearest(self.default_tier, self.tiers)}"
            )
        return self
