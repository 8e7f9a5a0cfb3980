"""How worn the files behind flash tiers are after a run, and how long they would last at its rate
of writing.
"""

from collections.abc import Mapping

from configs.fitting import rough
from configs.flash import life_of, life_years
from configs.plan import Plan
from workers.flash.wear import Wear

Wears = Mapping[str, Mapping[str, Wear]]


def wears_since(before: Wears, after: Wears) -> dict[str, dict[str, Wear]]:
    """Node -> tier -> its wear, and what was written between the two."""
    return {
        node: {tier: wear.since(before.get(node, {}).get(tier)) for tier, wear in tiers.items()}
        for node, tiers in after.items()
        if tiers
    }


def file_wear_figures(plan: Plan, wears: Wears) -> dict[str, dict[str, float | None]]:
    """ "<node>.<tier>" -> figures of the file, by what `Wear` calls them, and

    write_amplification   programmed / asked, of the run
    tier_life_years   endurance x capacity of the emulated tier / programmed a second (`life_of`)
    file_life_years   what is left of the file's own cycles / programmed a second

    Years are None where nothing was programmed.
    """
    figures: dict[str, dict[str, float | None]] = {}
    for node, tiers in wears.items():
        for name, wear in tiers.items():
            rate = wear.programmed_bytes_per_s
            tier = plan.node(node).device.tiers[name]
            figures[f"{node}.{name}"] = {
                "erases_min": wear.erases_min,
                "erases_mean": wear.erases_mean,
                "erases_max": wear.erases_max,
                "num_blocks": wear.num_blocks,
                "num_worn": wear.num_worn,
                "num_bad": wear.num_bad,
                "capacity_bytes": wear.capacity_bytes,
                "new_bytes": wear.new_bytes,
                "num_damaged": wear.num_damaged,
                "num_found": wear.num_found,
                "num_hits": wear.num_hits,
                "asked_bytes": wear.asked_bytes,
                "programmed_bytes": wear.programmed_bytes,
                "write_amplification": wear.amplification,
                "programmed_bytes_per_s": rate,
                "tier_life_years": life_of(tier, rate) if rate else None,
                "file_life_years": life_years(1, wear.remaining_bytes, rate) if rate else None,
            }
    return figures


def file_wear_lines(plan: Plan, wears: Wears) -> list[str]:
    """A line for each of them. How long the tier lasts is said of all tiers (`wear`)."""
    lines = []
    for name, f in file_wear_figures(plan, wears).items():
        line = (
            f"wear of {name}'s file: erases {f['erases_min']:,} / {f['erases_mean']:,.1f} / "
            f"{f['erases_max']:,} (min, mean, max), {f['num_bad']:,} of {f['num_blocks']:,} blocks "
            f"out of service, {f['programmed_bytes']:,} B programmed, write amplification "
            f"{f['write_amplification']:.2f}"
        )
        if f["file_life_years"] is not None:
            line += (
                f"; at {rough(int(f['programmed_bytes_per_s'] or 0))}/s, as in this run, the file "
                f"itself lasts {f['file_life_years']:,.3g} years (projection)"
            )
        lines.append(line)
    return lines
