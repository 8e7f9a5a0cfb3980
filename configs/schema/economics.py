"""What a cluster costs and emits over its life: the inputs of `cluster.reports.energy`."""

from collections.abc import Mapping

from pydantic import Field

from configs.schema.section import Name, Section
from configs.units import GramCo2ePerKwh, KilogramCo2e, Ratio, UsDollar, UsDollarPerKwh


class DeviceCost(Section):
    """Of one device, in place of what its preset says, or does not."""

    price_usd: UsDollar | None = Field(
        default=None, ge=0, validation_alias="price", serialization_alias="price"
    )
    embodied_carbon_kg: KilogramCo2e | None = Field(
        default=None,
        ge=0,
        validation_alias="embodied_carbon",
        serialization_alias="embodied_carbon",
    )


class EconomicsSection(Section):
    """Defaults: Azure GreenSKU's carbon data (ISCA 2024; 72 months, PUE 1.12, 0.35 kgCO2e/kWh), and
    the price that industry paid on average in the United States in 2023 (EIA, by way of Statista).

    years        over which machines are written off, in money and in carbon
    utilisation  share of that time in which the cluster works as in the run; else it idles. The
                 default is assumed
    pue          power usage effectiveness: energy of the whole datacentre / of its machines
    carbon_g_per_kwh   of the grid
    devices      name of a device -> its price and carbon
    """

    years: float = Field(default=6.0, gt=0, le=100)
    utilisation: Ratio = Field(default=1.0, gt=0, le=1)
    usd_per_kwh: UsDollarPerKwh = Field(
        default=0.0806, ge=0, validation_alias="energy_price", serialization_alias="energy_price"
    )
    pue: float = Field(default=1.12, ge=1, le=10)
    carbon_g_per_kwh: GramCo2ePerKwh = Field(
        default=350.0,
        ge=0,
        validation_alias="carbon_intensity",
        serialization_alias="carbon_intensity",
    )
    devices: Mapping[Name, DeviceCost] = Field(default_factory=dict)
