"""How a tier with banks is organised, and what hides its latency."""

from rich.text import Text

from cluster.cli.show_figures import guess
from configs.fitting import rough
from configs.flash import (
    effective_read_bytes_per_s,
    hiding_buffer_bytes,
    reads_in_flight,
    sram_mm2,
)
from configs.schema import TierSpec
from configs.units import CARBON, PRICE


def flash_lines(tier: TierSpec) -> list[Text]:
    """Two lines, or none of a tier without banks: what it is made of, and Little's law for it."""
    if tier.banks is None:
        return []
    made_of = Text(
        f"{guess(tier, 'channels')}{tier.channels} channels × {guess(tier, 'banks')}{tier.banks} "
        f"banks × {guess(tier, 'planes')}{tier.planes} planes",
        style="dim",
    )
    if tier.price_usd is not None:
        made_of.append(f" · {guess(tier, 'price')}{PRICE.format(tier.price_usd)}")
    if tier.embodied_kg_co2e is not None:
        carbon = CARBON.format(tier.embodied_kg_co2e)
        made_of.append(f" · {guess(tier, 'embodied_carbon')}{carbon}")
    return [made_of, _hidden(tier)]


def _hidden(tier: TierSpec) -> Text:
    """What full bandwidth needs; in red where there are too few places for it."""
    needed, most = reads_in_flight(tier), tier.reads_in_flight_most
    buffer = hiding_buffer_bytes(tier)
    text = Text(style="dim")
    text.append(f"full rate: {needed:,} of {most:,} reads in flight")
    if needed > most:
        reached = effective_read_bytes_per_s(tier, tier.page_bytes, most)
        text.append(f", reaches {reached / 1e9:,.1f} GB/s", style="red")
    text.append(f", {rough(buffer)} of SRAM, {sram_mm2(buffer):.1f} mm² at 3 nm")
    return text
