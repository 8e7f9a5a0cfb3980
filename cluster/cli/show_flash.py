"""How flash is organised, what hides its latency, and what file lies behind it."""

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
from configs.schema.flash_file import FlashFileSpec
from configs.units import CARBON, PRICE, SIZE

# Of a tier's rate: a buffer of H3's formula has places for less than a page too little.
NEARLY_ALL = 0.999


def flash_lines(tier: TierSpec) -> list[Text]:
    """What banks it is made of; Little's law, of what wears or has a buffer, and wherever there are
    too few places; its file.
    """
    lines = [] if tier.banks is None else [_made_of(tier)]
    if (
        lines
        or _falls_short(tier)
        or tier.endurance_cycles is not None
        or tier.buffer_bytes is not None
    ):
        lines.append(_hidden(tier))
    return lines if tier.file is None else [*lines, _file(tier.file, tier.page_bytes)]


def _made_of(tier: TierSpec) -> Text:
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
    return made_of


def _file(file: FlashFileSpec, page_bytes: int) -> Text:
    """What it holds when new: less than the tier, of which it is all that is kept."""
    return Text(
        f"a file behind it: {SIZE.format(file.usable_bytes(page_bytes))} in "
        f"{file.data_blocks(page_bytes):,} blocks of {file.pages_per_block} pages, and "
        f"{file.spare_blocks} spare",
        style="dim",
    )


def _reached(tier: TierSpec) -> float:
    """By reads of whole pages, as many as there are places for."""
    return effective_read_bytes_per_s(tier, tier.page_bytes, tier.reads_in_flight_most)


def _falls_short(tier: TierSpec) -> bool:
    """By more than a page of rounding comes to."""
    needed, most = reads_in_flight(tier), tier.reads_in_flight_most
    return needed > most and _reached(tier) < NEARLY_ALL * tier.sustained_read_bytes_per_s


def _hidden(tier: TierSpec) -> Text:
    """What full bandwidth needs; in red where there are too few places for it."""
    needed, most = reads_in_flight(tier), tier.reads_in_flight_most
    buffer = hiding_buffer_bytes(tier)
    text = Text(style="dim")
    text.append(f"full rate: {needed:,} of {most:,} reads in flight")
    if _falls_short(tier):
        text.append(f", reaches {_reached(tier) / 1e9:,.1f} GB/s", style="red")
    text.append(f", {rough(buffer)} of SRAM, {sram_mm2(buffer):.1f} mm² at 3 nm")
    return text
