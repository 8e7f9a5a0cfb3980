"""A machine as figures: compute, memory tiers, energy, price. Facts live in `configs/devices`, one
file a device.
"""

from collections.abc import Mapping
from typing import Self

from pydantic import Field, model_validator

from configs.nearest import nearest
from configs.schema.section import Evidence, Name, Section
from configs.schema.sharing import Efficiency
from configs.schema.sharing import Sharing as Sharing  # of tiers, engines and links alike
from configs.schema.tier import TierSpec as TierSpec
from configs.units import DurationNs, FlopsPerSecond, KilogramCo2e, Picojoule, UsDollar, Watts

# What work calls the arithmetic of `compute`.
MAIN_ENGINE = "compute"
# Of `resources`: an engine at the link, which adds so many bytes of what comes.
ADDER = "nic"


class EngineSpec(Section):
    """Arithmetic beside the main engine, for example next to a memory tier.

    beside               the tier that it stands beside: work on what lies there is its own, and
                         does not cross that tier's bus
    compute              dtype -> dense peak; `compute_efficiency` of it is reached
    flop_pj              energy of one floating-point operation (a multiply-add is two)
    """

    beside: Name | None = None
    compute: Mapping[Name, FlopsPerSecond] = Field(min_length=1)
    compute_efficiency: Efficiency = 1.0
    flop_pj: Picojoule = Field(
        default=0.0, validation_alias="flop_energy", serialization_alias="flop_energy"
    )
    sharing: Sharing = "fifo"


class ResourceSpec(Section):
    """Anything else that work may ask for by name: flash planes, banks, a scratchpad.

    rate_per_s     units a second, of all servers together; at least one of each
    servers        how many accesses are served at once, each at its part of the rate; more than one
                   serve first come, first served
    page           units that are moved as a whole
    latency_ns     of each demand, after its last unit's turn
    queue_depth    most pages in flight, or None where that bounds nothing
    unit_pj        energy of a unit
    """

    rate_per_s: float = Field(
        validation_alias="rate", serialization_alias="rate", ge=1, allow_inf_nan=False
    )
    sharing: Sharing = "fifo"
    servers: int = Field(default=1, ge=1)
    page: int = Field(default=1, ge=1)
    latency_ns: DurationNs = Field(
        default=0, validation_alias="latency", serialization_alias="latency"
    )
    queue_depth: int | None = Field(default=None, ge=1)
    unit_pj: Picojoule = Field(
        default=0.0, validation_alias="unit_energy", serialization_alias="unit_energy"
    )

    @model_validator(mode="after")
    def _one_server_is_shared(self) -> Self:
        if self.sharing == "fair" and self.servers > 1:
            raise ValueError(
                f"sharing is fair and servers {self.servers}: one server is shared fairly, several "
                "serve first come, first served"
            )
        return self


class DeviceSpec(Section):
    """One machine that workers stand on.

    compute              dtype ("fp32", "bf16", "fp8", ...) -> dense peak; `compute_efficiency` of
                         it is reached
    launch_overhead_ns   of each kernel, before it touches anything
    flop_pj              energy of one floating-point operation (a multiply-add is two)
    idle_watts, tdp_watts   drawn doing nothing; most it may draw
    price_usd            of one, to buy
    embodied_carbon_kg   CO2e of making one, cradle to gate; None: nobody says. This, price and
                         idle_watts leave out the tiers that name theirs (`configs.totals`)
    default_tier         where weights, KV and collections go unless the placement says otherwise
    engines              arithmetic beside that of `compute`, by name
    resources            what else work may ask for, by name
    assumed              dotted keys of this device that no source backs (tiers list their own)
    """

    name: Name
    compute: Mapping[Name, FlopsPerSecond] = Field(min_length=1)
    compute_efficiency: Efficiency = 1.0
    compute_sharing: Sharing = "fifo"
    engines: Mapping[Name, EngineSpec] = Field(default_factory=dict)
    resources: Mapping[Name, ResourceSpec] = Field(default_factory=dict)
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
    embodied_carbon_kg: KilogramCo2e | None = Field(
        default=None, validation_alias="embodied_carbon", serialization_alias="embodied_carbon"
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

    @model_validator(mode="after")
    def _draws_at_least_what_it_does_idle(self) -> Self:
        tiers = sum(tier.idle_watts or 0.0 for tier in self.tiers.values())
        if self.idle_watts + tiers > self.tdp_watts:
            beside = f" and its tiers' {tiers:g} W" if tiers else ""
            raise ValueError(
                f"tdp is {self.tdp_watts:g} W and idle_power {self.idle_watts:g} W{beside}: the "
                "most that it may draw is at least what it draws idle"
            )
        return self

    @model_validator(mode="after")
    def _engines_stand_beside_tiers(self) -> Self:
        for name, engine in self.engines.items():
            if engine.beside is not None and engine.beside not in self.tiers:
                raise ValueError(
                    f"engines.{name}.beside is {engine.beside!r}: "
                    f"{nearest(engine.beside, self.tiers)}"
                )
        return self

    @model_validator(mode="after")
    def _engines_have_names_of_their_own(self) -> Self:
        """Work names "<engine>.<dtype>" and "<tier>.read"."""
        taken = [name for name in self.engines if name == MAIN_ENGINE or name in self.tiers]
        if taken:
            raise ValueError(
                f"engines names {taken[0]!r}, which is the main engine or a tier: choose another"
            )
        return self
