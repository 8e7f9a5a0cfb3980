"""What a whole machine draws idle, costs and emits in the making: a device and its tiers.

A device's own figure leaves out the tiers that name theirs, and holds all the others: an H100's
price is that of its HBM too, a memory server's that of its logic beside priced modules. So nothing
counts twice, and nothing twice named has to agree.
"""

from collections.abc import Iterable

from configs.schema.device import DeviceSpec


def idle_watts(device: DeviceSpec) -> float:
    """The device's own, and those of each tier that names them."""
    return device.idle_watts + _known(tier.idle_watts for tier in device.tiers.values())


def price_usd(device: DeviceSpec) -> float | None:
    """The same of prices; None where the device itself has none: its tiers alone are no machine."""
    if device.price_usd is None:
        return None
    return device.price_usd + _known(tier.price_usd for tier in device.tiers.values())


def embodied_carbon_kg(device: DeviceSpec) -> float | None:
    """The same of CO2e."""
    if device.embodied_carbon_kg is None:
        return None
    tiers = device.tiers.values()
    return device.embodied_carbon_kg + _known(tier.embodied_kg_co2e for tier in tiers)


def _known(of_tiers: Iterable[float | None]) -> float:
    return sum(value for value in of_tiers if value is not None)
