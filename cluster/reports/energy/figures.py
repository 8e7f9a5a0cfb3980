"""A run's figures of energy, cost and carbon: each with its formula and what it rests on. Pure.

Joules are emulated from specifications, so every figure is a projection. One that needs what nobody
says is none, and says what it lacks: it is never 0.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from cluster.reports.energy import formulas
from cluster.reports.energy.balance import Balance
from configs.schema import DeviceCost, DeviceSpec, EconomicsSection, LinkSpec
from configs.totals import embodied_carbon_kg, price_usd

TCO = "TCO = price of devices + energy of life x energy_price"
KWH = "energy of life = (W x utilisation + idle W x (1 - utilisation)) x pue x years"
# Name -> unit, formula. `formulas` has their sources.
KNOWN: Mapping[str, tuple[str, str]] = {
    "tokens_per_joule": ("tokens/J", "output tokens / joules of machines, idle power included"),
    "usd_per_mtoken": ("USD/Mtoken", f"TCO / tokens of life x 1e6; {TCO}; {KWH}"),
    "tokens_per_s_per_usd": ("tokens/s/USD", f"tokens/s x utilisation / TCO; {TCO}; {KWH}"),
    "operational_g_per_mtoken": (
        "gCO2e/Mtoken", f"energy of life x carbon_intensity / tokens of life x 1e6; {KWH}"
    ),
    "embodied_g_per_mtoken": (
        "gCO2e/Mtoken", "embodied_carbon of devices / tokens of life x 1e6"
    ),
    "carbon_g_per_mtoken": ("gCO2e/Mtoken", "operational + embodied"),
}  # fmt: skip
# Keys of presets that go into a figure.
OF_DEVICES = ("idle_power", "flop_energy", "unit_energy", "price", "embodied_carbon")
OF_TIERS = (
    "read_energy", "write_energy", "channel_energy", "bus_energy", "buffer_energy", "idle_power",
    "price", "embodied_carbon",
)  # fmt: skip
# Of these the economics may say something else.
OF_ECONOMICS = {"price": "price_usd", "embodied_carbon": "embodied_carbon_kg"}


@dataclass(frozen=True, slots=True)
class Figure:
    """value   None where `missing` says why there is none"""

    name: str
    value: float | None
    unit: str
    formula: str
    missing: str = ""
    evidence: str = "projection"


def figures(
    told: Balance | None,
    num_tokens: int,
    devices: Sequence[DeviceSpec],
    economics: EconomicsSection,
) -> list[Figure]:
    """In the order in which they are shown.

    devices   one entry a node; what `economics.devices` says of a whole one, tiers and all, comes
              before its own word
    """
    values = _values(told, num_tokens, devices, economics)
    return [
        Figure(name, None, *KNOWN[name], missing=value)
        if isinstance(value, str)
        else Figure(name, value, *KNOWN[name])
        for name, value in values.items()
    ]


def assumptions(
    devices: Sequence[DeviceSpec], links: Sequence[LinkSpec], economics: EconomicsSection
) -> list[str]:
    """Keys that go into the figures and that no source backs, each once: "key (whose)"."""
    found = {f"link energy ({link.name})": None for link in links if "energy" in link.assumed}
    for device in devices:
        keys = [key for key in device.assumed if key.rpartition(".")[2] in OF_DEVICES]
        for name, tier in device.tiers.items():
            keys += [f"tiers.{name}.{key}" for key in tier.assumed if key in OF_TIERS]
        keys = [key for key in keys if not _is_said(key, device, economics)]
        found |= {f"{key} ({device.name})": None for key in keys}
        if "idle_watts" not in device.model_fields_set:
            found[f"idle_power, not given and taken as 0 ({device.name})"] = None
    if "utilisation" not in economics.model_fields_set:
        found[f"utilisation {economics.utilisation:g} (economics)"] = None
    return sorted(found)


def _is_said(key: str, device: DeviceSpec, economics: EconomicsSection) -> bool:
    """Whether the economics name a figure of the whole device in place of this one."""
    said = economics.devices.get(device.name, DeviceCost())
    name = OF_ECONOMICS.get(key.rpartition(".")[2])
    return name is not None and getattr(said, name) is not None


def _values(
    told: Balance | None,
    num_tokens: int,
    devices: Sequence[DeviceSpec],
    economics: EconomicsSection,
) -> dict[str, float | str]:
    """A number, or why there is none."""
    if told is None:
        return dict.fromkeys(KNOWN, "nothing is emulated")
    if not num_tokens:
        return dict.fromkeys(KNOWN, "no token was generated")
    if not told.total_joules:
        return dict.fromkeys(KNOWN, "no device or link says what it draws")
    life = formulas.Life(
        economics.years,
        economics.utilisation,
        num_tokens / told.seconds,
        told.total_joules / told.seconds,
        told.idle_watts,
        economics.pue,
    )
    price = _price(devices, economics)
    embodied_kg = _embodied(devices, economics)
    tco: float | str = price
    if not isinstance(price, str):
        tco = formulas.tco_usd(life, price, economics.usd_per_kwh)
    operational = formulas.operational_g_per_mtoken(life, economics.carbon_g_per_kwh)
    embodied = _if(embodied_kg, lambda kg: formulas.embodied_g_per_mtoken(life, kg))
    return {
        "tokens_per_joule": formulas.tokens_per_joule(num_tokens, told.total_joules),
        "usd_per_mtoken": _if(tco, lambda usd: formulas.usd_per_mtoken(life, usd)),
        "tokens_per_s_per_usd": _if(tco, lambda usd: formulas.tokens_per_s_per_usd(life, usd)),
        "operational_g_per_mtoken": operational,
        "embodied_g_per_mtoken": embodied,
        "carbon_g_per_mtoken": _if(embodied, lambda grams: operational + grams),
    }


def _if(value: float | str, formula: Callable[[float], float]) -> float | str:
    return value if isinstance(value, str) else formula(value)


def _price(devices: Sequence[DeviceSpec], economics: EconomicsSection) -> float | str:
    """Of all of them, or who lacks one."""

    def of(device: DeviceSpec, said: DeviceCost) -> float | None:
        return price_usd(device) if said.price_usd is None else said.price_usd

    return _sum(devices, economics, of, "price")


def _embodied(devices: Sequence[DeviceSpec], economics: EconomicsSection) -> float | str:
    def of(device: DeviceSpec, said: DeviceCost) -> float | None:
        kilograms = said.embodied_carbon_kg
        return embodied_carbon_kg(device) if kilograms is None else kilograms

    return _sum(devices, economics, of, "embodied carbon")


def _sum(
    devices: Sequence[DeviceSpec],
    economics: EconomicsSection,
    of: Callable[[DeviceSpec, DeviceCost], float | None],
    what: str,
) -> float | str:
    known: list[float] = []
    lacking: dict[str, None] = {}
    for device in devices:
        value = of(device, economics.devices.get(device.name, DeviceCost()))
        if value is None:
            lacking[device.name] = None
        else:
            known.append(value)
    if lacking:
        return f"no {what} for device {', '.join(sorted(lacking))}"
    return sum(known)
