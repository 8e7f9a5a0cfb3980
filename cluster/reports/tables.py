"""Summaries as tables for people."""

from collections.abc import Mapping, Sequence

from rich.table import Table

from cluster.api.output import DELIVERY, PHASES, RARE_PHASES
from cluster.reports.summary import Summary

PHASE_NAMES = {**PHASES, DELIVERY: "delivery, the rest"}


def comparison(title: str, columns: Mapping[str, Summary], evidence: Mapping[str, str]) -> Table:
    """One column a run. `evidence`: run -> what its times are ("measured", "projection")."""
    table = Table(title=title, title_justify="left")
    table.add_column("emulated time")
    for name in columns:
        table.add_column(name, justify="right")
    runs = list(columns.values())

    def row(name: str, values: Sequence[str]) -> None:
        table.add_row(name, *values)

    row("evidence", [evidence.get(name, "") for name in columns])
    row("requests answered", [f"{r.num_requests - r.num_failed} of {r.num_requests}" for r in runs])
    row("exact answers", ["-" if r.accuracy is None else f"{r.accuracy:.1%}" for r in runs])
    row("TTFT p50", [duration(r.ttft_us_p50) for r in runs])
    row("TTFT p99", [duration(r.ttft_us_p99) for r in runs])
    row("TPOT p50", [duration(r.tpot_us_p50) for r in runs])
    row("TPOT p99", [duration(r.tpot_us_p99) for r in runs])
    row("ITL p50", [duration(r.itl_us_p50) for r in runs])
    row("ITL p99", [duration(r.itl_us_p99) for r in runs])
    row("end to end p50", [duration(r.e2e_us_p50) for r in runs])
    row("output tokens/s", [f"{r.tokens_per_s:,.0f}" for r in runs])
    if any(r.goodput_per_s is not None for r in runs):
        row(
            "goodput, requests/s",
            ["-" if r.goodput_per_s is None else f"{r.goodput_per_s:,.0f}" for r in runs],
        )
    if any(r.num_skipped for r in runs):
        row("rows skipped: nothing asked", [f"{r.num_skipped:,}" for r in runs])
    if any(r.num_approximate for r in runs):
        row("approximate tokens", [f"{r.num_approximate:,} of {r.num_tokens:,}" for r in runs])
    if any(r.preemptions for r in runs):
        row("preemptions", [f"{r.preemptions:,}" for r in runs])
    table.add_section()
    met = {phase for r in runs for phase in r.phases_us}
    for phase, name in PHASE_NAMES.items():
        if phase in RARE_PHASES and phase not in met:
            continue
        row(f"mean in {name}", [duration(r.phases_us.get(phase, 0.0)) for r in runs])
    row("mean end to end", [duration(r.e2e_us_mean) for r in runs])
    return table


def duration(microseconds: float) -> str:
    """With the unit that leaves one to three digits before the point."""
    for limit, unit, scale in ((1e3, "us", 1.0), (1e6, "ms", 1e3)):
        if abs(microseconds) < limit:
            return f"{microseconds / scale:.1f} {unit}"
    return f"{microseconds / 1e6:.2f} s"
