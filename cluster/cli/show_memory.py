"""A machine's memory as bars: what lies in each tier, how fast it is, what is free."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table
from rich.text import Text

from cluster.cli.show_figures import guess, mark
from cluster.cli.show_flash import flash_lines
from cluster.retrieval.passages import split_document
from configs.fitting import rough
from configs.plan import MemoryPlan, NodePlan
from configs.presets import corpus_folder
from configs.schema import Scenario, TierSpec
from configs.schema.placement import EMBEDDER_DIMS
from configs.units import BANDWIDTH, DURATION, SIZE

_BAR_CELLS = 20
COLOURS = {
    "weights": "blue",
    "embeddings": "bright_blue",
    "experts": "magenta",
    "hot_experts": "bright_magenta",
    "activations": "white",
    "kv": "green",
    "kv_offload": "bright_cyan",
    "pool": "cyan",
    "collections": "yellow",
}
_FP32_BYTES = 4


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a tier's bar."""

    what: str
    num_bytes: int


def tiers_table(node: NodePlan, collection_bytes: Mapping[str, int]) -> Table:
    """A bar for each memory tier, with what lies in it and how fast it is."""
    table = Table.grid(padding=(0, 1))
    for _ in range(3):
        table.add_column(no_wrap=True)
    table.add_column(ratio=1)
    for name, tier in node.device.tiers.items():
        parts = [Part(fill.what, fill.num_bytes) for fill in node.fills[name]]
        parts += _collections(node, name, collection_bytes)
        table.add_row(
            Text.assemble((name, "bold"), " ", mark(tier.evidence)),
            bar(tuple(parts), tier.capacity_bytes, _BAR_CELLS),
            guess(tier, "capacity") + SIZE.format(tier.capacity_bytes),
            _contents(tuple(parts), tier.capacity_bytes),
        )
        table.add_row("", _speed(tier), "", _latency(tier))
        for line in flash_lines(tier):
            table.add_row("", "", "", line)
    return table


def bar(parts: tuple[Part, ...], capacity_bytes: int, cells: int) -> Text:
    """Cells in proportion; what is there at all gets at least a sliver."""
    text = Text("▕")
    left = cells
    for part in parts:
        share = part.num_bytes * cells / capacity_bytes
        count = min(left, round(share))
        if count:
            text.append("█" * count, style=COLOURS[part.what])
        elif part.num_bytes and left:
            count = 1
            text.append("▏", style=COLOURS[part.what])
        left -= count
    text.append("░" * left, style="dim")
    text.append("▏")
    return text


def _contents(parts: tuple[Part, ...], capacity_bytes: int) -> Text:
    text = Text()
    for part in parts:
        text.append(f"{part.what} {rough(part.num_bytes)}", style=COLOURS[part.what])
        text.append(" · ")
    free = capacity_bytes - sum(part.num_bytes for part in parts)
    text.append(f"free {rough(max(0, free))}", style="dim")
    return text


def _speed(tier: TierSpec) -> str:
    read = f"{guess(tier, 'read')}{BANDWIDTH.format(tier.read_bytes_per_s)}"
    write = f"{guess(tier, 'write')}{BANDWIDTH.format(tier.write_bytes_per_s)}"
    return read if tier.read_bytes_per_s == tier.write_bytes_per_s else f"{read}, write {write}"


def _latency(tier: TierSpec) -> Text:
    text = Text(style="dim")
    if tier.efficiency < 1:
        text.append(f"×{guess(tier, 'efficiency')}{tier.efficiency:.0%} · ")
    text.append(f"{guess(tier, 'read_latency')}{DURATION.format(tier.read_latency_ns)}")
    if tier.write_latency_ns != tier.read_latency_ns:
        text.append(f", write {guess(tier, 'write_latency')}")
        text.append(DURATION.format(tier.write_latency_ns))
    text.append(f" · {guess(tier, 'page')}{SIZE.format(tier.page_bytes)} pages · ")
    text.append(f"{guess(tier, 'read_energy')}{tier.read_pj_per_bit:g} pJ/bit")
    if tier.endurance_cycles is not None:
        text.append(f" · {tier.endurance_cycles / 1000:g}k cycles")
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


def vector_bytes(scenario: Scenario, name: str) -> int:
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
    return passages * EMBEDDER_DIMS[placed.embedder] * _FP32_BYTES


def _num_passages(path: Path) -> int:
    return len(split_document(path.name, path.read_text(encoding="utf-8")))
