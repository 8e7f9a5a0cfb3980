"""Energy, cost and carbon of a run: as JSON, and as lines for people."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from cluster.reports.energy.balance import Balance, balance
from cluster.reports.energy.figures import Figure, assumptions, figures
from configs.schema import DeviceSpec, EconomicsSection, LinkSpec
from configs.totals import idle_watts
from workers.hardware.energy.meter import Reading

PHASE_NAMES = {"kv_transfer": "KV transfer"}
SCALES = (("MJ", 1e6), ("kJ", 1e3), ("J", 1.0), ("mJ", 1e-3), ("uJ", 1e-6))
FIGURE_NAMES = {
    "operational_g_per_mtoken": " operational",
    "embodied_g_per_mtoken": " embodied",
    "carbon_g_per_mtoken": " in all",
}


@dataclass(frozen=True, slots=True)
class EnergyReport:
    """nodes     node -> what it drew
    balance   None where nothing is emulated
    partial   nodes of whose energy some is not in it, and why
    """

    nodes: Mapping[str, Reading]
    balance: Balance | None
    figures: tuple[Figure, ...]
    assumed: tuple[str, ...]
    partial: tuple[str, ...]


def energy_report(
    readings: Mapping[str, Reading],
    num_tokens: int,
    nodes: Mapping[str, tuple[DeviceSpec, LinkSpec]],
    economics: EconomicsSection,
) -> EnergyReport:
    """nodes: of the whole cluster; whoever has no reading is named."""
    devices = [device for device, _ in nodes.values()]
    links = [link for _, link in nodes.values()]
    told = balance(readings, sum(idle_watts(device) for device in devices))
    return EnergyReport(
        readings,
        told,
        tuple(figures(told, num_tokens, devices, economics)),
        tuple(assumptions(devices, links, economics)),
        () if told is None else tuple(_partial(nodes, readings)),
    )


def _partial(nodes: Iterable[str], readings: Mapping[str, Reading]) -> Iterator[str]:
    for node in nodes:
        if node not in readings:
            yield f"{node} is gone: what it drew is not in it"
        elif not readings[node].is_restarted:
            yield f"{node} was started again meanwhile: what it drew before is not in it"


def as_json(report: EnergyReport) -> dict[str, Any]:
    """`balance` is null where nothing is emulated."""
    return {
        "balance": None if report.balance is None else asdict(report.balance),
        "figures": [asdict(figure) for figure in report.figures],
        "assumed": list(report.assumed),
        "partial": list(report.partial),
        "nodes": {node: asdict(reading) for node, reading in report.nodes.items()},
    }


def as_lines(report: EnergyReport) -> list[str]:
    """What a summary says of it; a difference of accounts comes first."""
    told = report.balance
    if told is None:
        return ["energy n/a: nothing is emulated"]
    lines = [f"[red]energy does not add up: {text}[/]" for text in told.differences]
    lines += [f"energy is not whole: {text}" for text in report.partial]
    mean_watts = told.total_joules / told.seconds if told.seconds else told.idle_watts
    lines.append(
        f"energy {joules(told.total_joules)} (projection), mean {mean_watts:,.0f} W, "
        f"peak {told.power.peak_watts:,.0f} W: {_shares(told)}"
    )
    lines += _figure_lines(report.figures)
    if report.assumed:
        lines.append(f"assumed of these: {_grouped(report.assumed)}")
    return lines


def joules(amount: float) -> str:
    """With the unit that leaves one to three digits before the point."""
    unit, scale = next(((u, s) for u, s in SCALES if amount >= s), SCALES[-1])
    return f"{amount / scale:.3g} {unit}"


def _shares(told: Balance) -> str:
    ordered = sorted(told.by_phase.items(), key=lambda pair: -pair[1])
    return ", ".join(f"{PHASE_NAMES.get(name, name)} {joules(spent)}" for name, spent in ordered)


def _grouped(assumed: Sequence[str]) -> str:
    """Each key once, with all whose it is."""
    owners: dict[str, list[str]] = {}
    for one in assumed:
        key, _, owner = one.partition(" (")
        owners.setdefault(key, []).append(owner.removesuffix(")"))
    return ", ".join(f"{key} ({', '.join(names)})" for key, names in owners.items())


def _figure_lines(known: Sequence[Figure]) -> list[str]:
    """Those that are known in one line, then what is missing, each reason once."""
    shown = [
        f"{figure.value:,.4g} {figure.unit}{FIGURE_NAMES.get(figure.name, '')}"
        for figure in known
        if figure.value is not None
    ]
    lines = [f"{' · '.join(shown)} ({known[0].evidence})"] if shown else []
    missing: dict[str, list[str]] = {}
    for figure in known:
        if figure.missing:
            name = f"{figure.unit}{FIGURE_NAMES.get(figure.name, '')}"
            missing.setdefault(figure.missing, []).append(name)
    return lines + [f"{', '.join(names)} n/a: {why}" for why, names in missing.items()]
