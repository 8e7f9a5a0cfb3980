"""Draws a planned cluster: machines and who works on them, what lies in their memory, their links.

    ┌ decode · 2 × h100-sxm ──────────────────────────────┐
    │ workers decode-0   decode-1                         │
    │ hbm  ▕██████████░░░░░░▏ 80 GB   weights 1 MB · kv … │
    └──────────────── link nvlink4  2 us  450 GB/s ───────┘

Equal nodes are drawn once. A figure without a source carries `~`.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from cluster.retrieval.embedder import HASHING_DIM
from cluster.retrieval.passages import split_document
from configs.fitting import rough
from configs.plan import MemoryPlan, NodePlan, Plan, ShardPlan
from configs.presets import corpus_folder
from configs.schema import DeviceSpec, LinkSpec, Scenario, TierSpec
from configs.units import BANDWIDTH, COMPUTE, DURATION, SIZE

_BAR_CELLS = 20
_COLOURS = {
    "weights": "blue",
    "experts": "magenta",
    "kv": "green",
    "pool": "cyan",
    "collections": "yellow",
}
_EVIDENCE_COLOURS = {"source": "green", "secondary": "cyan", "derived": "blue", "assumed": "red"}
_EVIDENCE_MEANINGS = {
    "source": "read there",
    "secondary": "in a summary",
    "derived": "computed",
    "assumed": "neither",
}
_ROLE_COLOURS = {
    "router": "bold white",
    "gateway": "bold white",
    "prefill": "bold green",
    "decode": "bold blue",
    "chip": "bold cyan",
    "experts": "bold magenta",
    "memory": "bold yellow",
}
# Values of a passage's vector: all-MiniLM-L6-v2 gives 384.
_DIMS = {"hashing": HASHING_DIM, "minilm": 384}
_FP32_BYTES = 4


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a tier's bar."""

    what: str
    num_bytes: int


def render(plan: Plan, scenario: Scenario) -> RenderableType:
    """The whole cluster as something rich can print. Reads collections' folders for their size."""
    sizes = {name: _vector_bytes(scenario, name) for name in scenario.placement.collections}
    panels = [_panel(alike, sizes) for alike in _alike(plan.nodes)]
    return Group(_head(plan, scenario), *panels, _legend())


def _head(plan: Plan, scenario: Scenario) -> Text:
    """What is served on it, in three lines."""
    cluster, model = scenario.cluster, scenario.model
    text = Text()
    text.append(f"{scenario.name}", style="bold")
    text.append(f"   world {cluster.world}")
    if cluster.world != "virtual":
        text.append(f" · dilation {cluster.dilation:g}")
    text.append(f" · emulation {'on' if cluster.emulation else 'off'} · frames by ")
    text.append(f"{cluster.frames_by}\n")
    text.append(f"model {model.name}", style="bold")
    text.append(
        f" {model.precision} · context {plan.max_model_len:,} tokens · KV block {model.block_size} "
        f"tokens = {rough(plan.kv_block_bytes)} · {len(plan.experts)} experts on "
        f"{len(plan.names('experts'))} shard{_s(len(plan.names('experts')))}\n"
    )
    text.append(f"{len(plan.nodes)} nodes, {len(plan.workers)} workers", style="bold")
    prices = [node.device.price_usd for node in plan.nodes]
    known = [price for price in prices if price is not None]
    watts = sum(node.device.tdp_watts for node in plan.nodes)
    text.append(f" · at most {watts / 1000:g} kW")
    if known:
        unknown = len(prices) - len(known)
        text.append(f" · {sum(known):,.0f} USD")
        text.append(f" and {unknown} node{_s(unknown)} of unknown price" if unknown else "")
    return text


def _s(count: int) -> str:
    return "" if count == 1 else "s"


def _alike(nodes: tuple[NodePlan, ...]) -> list[list[NodePlan]]:
    """Nodes of one group, in order: they have the same device and link."""
    groups: dict[str, list[NodePlan]] = {}
    for node in nodes:
        groups.setdefault(node.group, []).append(node)
    return list(groups.values())


def _panel(nodes: list[NodePlan], collection_bytes: Mapping[str, int]) -> Panel:
    """One group of equal nodes."""
    first = nodes[0]
    count = f"{len(nodes)} × " if len(nodes) > 1 else ""
    title = Text.assemble(
        (first.group, "bold"), " · ", count, first.device.name, " ", _mark(first.device.evidence)
    )
    return Panel(
        Group(_workers(nodes), _compute(first.device), _tiers(first, collection_bytes)),
        title=title,
        title_align="left",
        subtitle=_link(first.link),
        subtitle_align="right",
        padding=(0, 1),
    )


def _workers(nodes: list[NodePlan]) -> Text:
    """Who stands where, a shard with its experts; a node's name only where it tells more."""
    text = Text("workers ", style="dim")
    for n, node in enumerate(nodes):
        text.append("   " if n else "")
        if [worker.name for worker in node.workers] != [node.name]:
            text.append(f"{node.name}: ")
        for i, worker in enumerate(node.workers):
            text.append(" + " if i else "")
            text.append(worker.name, style=f"not dim {_ROLE_COLOURS[worker.role]}")
            if isinstance(worker, ShardPlan):
                text.append(f" ({ranges(worker.expert_ids)})")
            if isinstance(worker, MemoryPlan) and worker.collections:
                share = f"1/{worker.num_servers} of " if worker.num_servers > 1 else ""
                text.append(f" ({share}{', '.join(worker.collections)})")
    return text


def ranges(numbers: tuple[int, ...]) -> str:
    """Ascending numbers with runs shortened: "0-3, 6"."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and runs[-1][-1] + 1 == number:
            runs[-1] = [runs[-1][0], number]
        else:
            runs.append([number, number])
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in runs)


def _compute(device: DeviceSpec) -> Text:
    """Rates by dtype (equal ones together), and what a launch and a watt cost."""
    dtypes: dict[str, list[str]] = {}
    for dtype, rate in device.compute.items():
        shown = f"{_guess(device, f'compute.{dtype}')}{COMPUTE.format(rate)}"
        dtypes.setdefault(shown, []).append(dtype)
    rates = " · ".join(f"{'/'.join(names)} {shown}" for shown, names in dtypes.items())
    reached = f"{_guess(device, 'compute_efficiency')}{device.compute_efficiency:.0%}"
    launch = f"{_guess(device, 'launch_overhead')}{DURATION.format(device.launch_overhead_ns)}"
    watts = f"{_guess(device, 'tdp')}{device.tdp_watts:g} W"
    facts = f"{rates} ×{reached} · launch {launch} · {watts}"
    return Text.assemble(("compute ", "dim"), facts)


def _tiers(node: NodePlan, collection_bytes: Mapping[str, int]) -> Table:
    """A bar for each memory tier, with what lies in it and how fast it is."""
    table = Table.grid(padding=(0, 1))
    for _ in range(3):
        table.add_column(no_wrap=True)
    table.add_column(ratio=1)
    for name, tier in node.device.tiers.items():
        parts = [Part(fill.what, fill.num_bytes) for fill in node.fills[name]]
        parts += _collections(node, name, collection_bytes)
        table.add_row(
            Text.assemble((name, "bold"), " ", _mark(tier.evidence)),
            bar(tuple(parts), tier.capacity_bytes, _BAR_CELLS),
            _guess(tier, "capacity") + SIZE.format(tier.capacity_bytes),
            _contents(tuple(parts), tier.capacity_bytes),
        )
        table.add_row("", _speed(tier), "", _latency(tier))
    return table


def bar(parts: tuple[Part, ...], capacity_bytes: int, cells: int) -> Text:
    """Cells in proportion; what is there at all gets at least a sliver."""
    text = Text("▕")
    left = cells
    for part in parts:
        share = part.num_bytes * cells / capacity_bytes
        count = min(left, round(share))
        if count:
            text.append("█" * count, style=_COLOURS[part.what])
        elif part.num_bytes and left:
            count = 1
            text.append("▏", style=_COLOURS[part.what])
        left -= count
    text.append("░" * left, style="dim")
    text.append("▏")
    return text


def _contents(parts: tuple[Part, ...], capacity_bytes: int) -> Text:
    text = Text()
    for part in parts:
        text.append(f"{part.what} {rough(part.num_bytes)}", style=_COLOURS[part.what])
        text.append(" · ")
    free = capacity_bytes - sum(part.num_bytes for part in parts)
    text.append(f"free {rough(max(0, free))}", style="dim")
    return text


def _speed(tier: TierSpec) -> str:
    read = f"{_guess(tier, 'read')}{BANDWIDTH.format(tier.read_bytes_per_s)}"
    write = f"{_guess(tier, 'write')}{BANDWIDTH.format(tier.write_bytes_per_s)}"
    return read if tier.read_bytes_per_s == tier.write_bytes_per_s else f"{read}, write {write}"


def _latency(tier: TierSpec) -> Text:
    text = Text(style="dim")
    if tier.efficiency < 1:
        text.append(f"×{_guess(tier, 'efficiency')}{tier.efficiency:.0%} · ")
    text.append(f"{_guess(tier, 'read_latency')}{DURATION.format(tier.read_latency_ns)}")
    if tier.write_latency_ns != tier.read_latency_ns:
        text.append(f", write {_guess(tier, 'write_latency')}")
        text.append(DURATION.format(tier.write_latency_ns))
    text.append(f" · {_guess(tier, 'page')}{SIZE.format(tier.page_bytes)} pages · ")
    text.append(f"{_guess(tier, 'read_energy')}{tier.read_pj_per_bit:g} pJ/bit")
    if tier.endurance_cycles is not None:
        text.append(f" · {tier.endurance_cycles / 1000:g}k cycles")
    return text


def _link(link: LinkSpec) -> Text:
    return Text.assemble(
        "⇄ ",
        (link.name, "bold"),
        f"  {_guess(link, 'latency')}{DURATION.format(link.latency_ns)}"
        f"  {_guess(link, 'bandwidth')}{BANDWIDTH.format(link.bytes_per_s)}"
        f"  {_guess(link, 'energy')}{link.pj_per_bit:g} pJ/bit ",
        _mark(link.evidence),
    )


def _mark(evidence: str) -> tuple[str, str]:
    return f"[{evidence}]", _EVIDENCE_COLOURS[evidence]


def _guess(spec: DeviceSpec | TierSpec | LinkSpec, key: str) -> str:
    return "~" if key in spec.assumed else ""


def _legend() -> Text:
    text = Text()
    for what, colour in _COLOURS.items():
        text.append("█ ", style=colour)
        text.append(f"{what}  ")
    text.append("░ free   ~ assumed: no source backs this figure\n")
    for evidence, meaning in _EVIDENCE_MEANINGS.items():
        text.append(*_mark(evidence))
        text.append(f" {meaning}  ")
    text.append(
        "\nWhat this cluster does is a projection from these figures; nothing here is measured."
    )
    return text


def _collections(node: NodePlan, tier: str, collection_bytes: Mapping[str, int]) -> list[Part]:
    """This node's share of the vector stores, where they lie in this tier."""
    shares = [
        collection_bytes[name] // worker.num_servers
        for worker in node.workers
        if isinstance(worker, MemoryPlan) and worker.collection_tier == tier
        for name in worker.collections
    ]
    return [Part("collections", sum(shares))] if sum(shares) else []


def _vector_bytes(scenario: Scenario, name: str) -> int:
    """Vectors of one collection, from an index's own file or by counting passages; 0 if unreadable.

    The picture is no place to fail: whoever loads the collection says what is wrong with it.
    """
    placed = scenario.placement.collections[name]
    folder = corpus_folder(placed.path)
    try:
        if (folder / "manifest.json").exists():
            manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
            return int(manifest["num_passages"]) * int(manifest["embedder"]["dim"]) * _FP32_BYTES
        passages = sum(_num_passages(path) for path in sorted(folder.glob("*.txt")))
    except (OSError, UnicodeDecodeError, ValueError, KeyError, TypeError):
        return 0
    return passages * _DIMS[placed.embedder] * _FP32_BYTES


def _num_passages(path: Path) -> int:
    return len(split_document(path.name, path.read_text(encoding="utf-8")))
