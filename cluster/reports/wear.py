"""How long tiers that wear out last at the rate at which a run wrote them. Pure.

L = P x C / (W / T), of Characterizing HBF for LLM Serving (2026), in `configs.flash`: cycles times
capacity over bytes written a second. Written are whole pages, refreshes among them. A cluster that
works for a part of its life only (`economics.utilisation`) writes for that part.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from configs.flash import life_of
from configs.schema import DeviceSpec, EconomicsSection
from workers.hardware.usage import Usage


@dataclass(frozen=True, slots=True)
class TierWear:
    """Of one tier with `endurance_cycles`.

    write_bytes_per_s   over the run
    life_years          at that rate, while the cluster works; None: it was not written
    lasts               as long as the economics write devices off, or longer
    """

    tier: str
    written_bytes: int
    write_bytes_per_s: float
    life_years: float | None
    years: float
    lasts: bool
    evidence: str = "projection"


def wear(
    usage: Mapping[str, Usage], devices: Mapping[str, DeviceSpec], economics: EconomicsSection
) -> list[TierWear]:
    """devices: of each node; tiers that do not wear out are left out."""
    return [
        _wear(f"{node}.{name}", told, name, devices[node], economics)
        for node, told in usage.items()
        for name, tier in devices[node].tiers.items()
        if tier.endurance_cycles is not None
    ]


def _wear(
    title: str, told: Usage, name: str, device: DeviceSpec, economics: EconomicsSection
) -> TierWear:
    written_bytes = told.tiers[name]["written_bytes"]
    rate = written_bytes * 1e9 / told.span_ns if told.span_ns else 0.0
    life: float | None = None
    if rate:
        life = life_of(device.tiers[name], rate * economics.utilisation)
    lasts = life is None or life >= economics.years
    return TierWear(title, written_bytes, rate, life, economics.years, lasts)


def wear_lines(known: list[TierWear]) -> Iterator[str]:
    """A line for each tier that was written, and one for all that were not."""
    for one in known:
        if one.life_years is None:
            continue
        told = (
            f"wear of {one.tier}: {one.written_bytes:,} B written, "
            f"{one.write_bytes_per_s / 1e9:,.3g} GB/s; at that rate it lasts "
            f"{one.life_years:,.3g} years ({one.evidence})"
        )
        if one.lasts:
            yield told
        else:
            yield f"[red]{told}: it wears out before the {one.years:g} years of economics.years[/]"
    if unwritten := [one.tier for one in known if one.life_years is None]:
        yield f"wear of {', '.join(unwritten)}: no writes: does not wear"
