"""Figures of devices and links as text, each with where it comes from."""

from collections.abc import Iterator

from rich.text import Text

from configs.schema import DeviceSpec, LinkSpec, TierSpec
from configs.schema.device import ADDER
from configs.units import BANDWIDTH, COMPUTE, DURATION, MESSAGE_RATE, SIZE

_EVIDENCE_COLOURS = {"source": "green", "secondary": "cyan", "derived": "blue", "assumed": "red"}
EVIDENCE_MEANINGS = {
    "source": "read there",
    "secondary": "in a summary",
    "derived": "computed",
    "assumed": "neither",
}


def mark(evidence: str) -> tuple[str, str]:
    return f"[{evidence}]", _EVIDENCE_COLOURS[evidence]


def guess(spec: DeviceSpec | TierSpec | LinkSpec, key: str) -> str:
    return "~" if key in spec.assumed else ""


def compute_line(device: DeviceSpec) -> Text:
    """Rates by dtype (equal ones together), and what a launch and a watt cost."""
    dtypes: dict[str, list[str]] = {}
    for dtype, rate in device.compute.items():
        shown = f"{guess(device, f'compute.{dtype}')}{COMPUTE.format(rate)}"
        dtypes.setdefault(shown, []).append(dtype)
    rates = " · ".join(f"{'/'.join(names)} {shown}" for shown, names in dtypes.items())
    reached = f"{guess(device, 'compute_efficiency')}{device.compute_efficiency:.0%}"
    launch = f"{guess(device, 'launch_overhead')}{DURATION.format(device.launch_overhead_ns)}"
    watts = f"{guess(device, 'tdp')}{device.tdp_watts:g} W"
    facts = f"{rates} ×{reached} · launch {launch} · {watts}"
    return Text.assemble(("compute ", "dim"), facts, engine_lines(device))


def engine_lines(device: DeviceSpec) -> Text:
    """Engines beside the main one, and at the link; empty without any."""
    text = Text()
    for name, engine in device.engines.items():
        rates = " · ".join(
            f"{dtype} {guess(device, f'engines.{name}.compute.{dtype}')}{COMPUTE.format(rate)}"
            for dtype, rate in engine.compute.items()
        )
        where = f" beside {engine.beside}" if engine.beside is not None else ""
        text.append(f"\n{name}{where} ", style="dim")
        text.append(f"{rates} ×{engine.compute_efficiency:.0%}")
    adder = device.resources.get(ADDER)
    if adder is not None:
        text.append(f"\n{ADDER} ", style="dim")
        text.append(f"adds {BANDWIDTH.format(round(adder.rate_per_s))} of what comes")
        text.append(f", {DURATION.format(adder.latency_ns)} deep")
    return text


def link_line(link: LinkSpec) -> Text:
    return Text.assemble(
        "⇄ ",
        (link.name, "bold"),
        f"  {guess(link, 'latency')}{DURATION.format(link.latency_ns)}"
        f"  {guess(link, 'bandwidth')}{BANDWIDTH.format(link.bytes_per_s)}",
        *_costs(link),
        f"  {guess(link, 'energy')}{link.pj_per_bit:g} pJ/bit ",
        mark(link.evidence),
    )


def _costs(link: LinkSpec) -> Iterator[str]:
    """What messages pay beside latency and bytes."""
    if link.startup_ns:
        yield f"  start-up {guess(link, 'startup')}{DURATION.format(link.startup_ns)}"
    if link.overhead_ns:
        yield f"  {guess(link, 'overhead')}{DURATION.format(link.overhead_ns)} a "
        most = (
            "" if link.max_segments is None else f"{guess(link, 'max_segments')}{link.max_segments}"
        )
        if link.segment_bytes is None:
            yield "message"
        else:
            yield f"{guess(link, 'segment')}{SIZE.format(link.segment_bytes)}"
            yield f", at most {most}" if most else ""
    if link.messages_per_s is not None:
        yield f"  {guess(link, 'message_rate')}{MESSAGE_RATE.format(link.messages_per_s)}"
