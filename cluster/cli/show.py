"""Draws a planned cluster: machines and who works on them, what lies in their memory, their links.

    ┌ decode · 2 × h100-sxm ──────────────────────────────┐
    │ workers decode-0   decode-1                         │
    │ hbm  ▕██████████░░░░░░▏ 80 GB   weights 1 MB · kv … │
    └──────────────── link nvlink4  2 us  450 GB/s ───────┘

Equal nodes are drawn once. A figure without a source carries `~`.
"""

from collections.abc import Iterator, Mapping

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.text import Text

from cluster.cli.show_figures import EVIDENCE_MEANINGS, compute_line, link_line, mark
from cluster.cli.show_link import curves
from cluster.cli.show_memory import COLOURS, tiers_table, vector_bytes
from cluster.cli.show_network import render_network
from cluster.network.problems import network_of
from configs.fitting import rough
from configs.model_config import ModelConfig
from configs.plan import MemoryPlan, NodePlan, Plan, ShardPlan
from configs.plan.fold import AUTO_NODES_MIN
from configs.plan.forms import form_notes
from configs.plan.states import state_notes
from configs.plan.switches import keys_in_network
from configs.schema import Scenario
from configs.sliding import sliding_of
from configs.totals import price_usd
from configs.units import DURATION

_ROLE_COLOURS = {
    "router": "bold white",
    "gateway": "bold white",
    "prefill": "bold green",
    "decode": "bold blue",
    "chip": "bold cyan",
    "rank": "cyan",
    "experts": "bold magenta",
    "spare": "magenta",
    "memory": "bold yellow",
    "switch": "bold red",
}


def render(plan: Plan, scenario: Scenario, config: ModelConfig) -> RenderableType:
    """The whole cluster as something rich can print. Reads collections' folders for their size."""
    sizes = {name: vector_bytes(scenario, name) for name in scenario.placement.collections}
    panels = [_panel(alike, sizes) for alike in _alike(plan.nodes)]
    drawn = curves(node.link for node in plan.nodes)
    below: list[RenderableType] = [] if drawn is None else [drawn, Text()]
    network = network_of(scenario)
    if network is not None:
        below.insert(0, render_network(network, keys_in_network(scenario)))
    said = [*form_notes(scenario), *_slice_notes(scenario)]
    said += [*_window_note(plan, scenario, config), *state_notes(scenario, config)]
    notes = [Text(note, style="yellow") for note in said]
    return Group(_head(plan, scenario, config), *notes, *panels, *below, _legend())


def _folded(plan: Plan, scenario: Scenario) -> str:
    """What is computed as one; where it was not asked for and cannot be, why."""
    fold = plan.fold
    if fold.is_on:
        chips, shards = len(fold.chips), len(fold.shards)
        return f" · folded: {chips} chip{_s(chips)}, {shards} expert shard{_s(shards)}"
    large = any((g.count or 1) >= AUTO_NODES_MIN for g in scenario.cluster.nodes.values())
    return f" · not folded: {fold.why_not[0]}" if large and fold.why_not else ""


def _head(plan: Plan, scenario: Scenario, config: ModelConfig) -> Text:
    """What is served on it, in three lines."""
    cluster, model, shards = scenario.cluster, scenario.model, len(plan.names("experts"))
    text = Text()
    text.append(f"{scenario.name}", style="bold")
    text.append(f"   world {cluster.world}")
    if cluster.world != "virtual":
        text.append(f" · dilation {cluster.dilation:g}")
    text.append(f" · emulation {'on' if cluster.emulation else 'off'} · frames by ")
    wires = ["memory"] if cluster.frames_by == "memory" else cluster.wires
    secured = " with TLS" if wires == ["grpc"] and cluster.certificates else ""
    text.append(f"{' and '.join(wires)}{secured}\n")
    text.append(f"model {model.name}", style="bold")
    rows = "" if model.precision.exact else f" · {model.rows} rows to experts"
    rows += {"real": "", "digest": " · as digests", "counts": " · as counts"}[model.numerics]
    text.append(
        f" {model.precision.label(config)}{rows} · context {plan.max_model_len:,} tokens · "
        f"KV block {model.block_size} tokens = {rough(plan.kv_block_bytes)} · "
        f"{len(plan.experts)} experts on {shards} shard{_s(shards)}{_copies(plan)}"
        f"{_late(scenario)}\n"
    )
    text.append(f"{len(plan.nodes)} nodes, {len(plan.workers)} workers", style="bold")
    text.append(_folded(plan, scenario))
    prices = [price_usd(node.device) for node in plan.nodes]
    known = [price for price in prices if price is not None]
    watts = sum(node.device.tdp_watts for node in plan.nodes)
    text.append(f" · at most {watts / 1000:g} kW")
    if known:
        unknown = len(prices) - len(known)
        text.append(f" · {sum(known):,.0f} USD")
        text.append(f" and {unknown} node{_s(unknown)} of unknown price" if unknown else "")
    return text


def _window_note(plan: Plan, scenario: Scenario, config: ModelConfig) -> Iterator[str]:
    """What windows leave of a sequence, where some layers have one."""
    sliding, size = sliding_of(config), scenario.model.block_size
    if sliding is not None:
        longest = plan.max_model_len
        whole = -(-longest // size) * plan.kv_block_bytes
        kept = sliding.pages(longest, size) * plan.kv_block_bytes // sliding.layers
        yield (
            f"{sliding.windowed} of {sliding.layers} layers meet {sliding.window.tokens:,} tokens "
            f"at most: while it decodes, a sequence of {longest:,} keeps {rough(kept)}, not "
            f"{rough(whole)}"
        )


def _slice_notes(scenario: Scenario) -> Iterator[str]:
    """Of chips whose ranks hold slices of the same keys: how many tokens of a block each has."""
    for name, group in scenario.cluster.nodes.items():
        if (slices := group.decode_context_parallel_size) > 1:
            size = scenario.of_group(name).model.block_size
            yield (
                f"{name}: of {slices} ranks that share keys each holds {size // slices} of a KV "
                f"block's {size} tokens (decode context parallel)"
            )


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
        (first.group, "bold"), " · ", count, first.device.name, " ", mark(first.device.evidence)
    )
    return Panel(
        Group(
            _workers(nodes),
            compute_line(first.device),
            *(Text(note, style="yellow") for note in dict.fromkeys(_notes(nodes))),
            tiers_table(first, collection_bytes),
        ),
        title=title,
        title_align="left",
        subtitle=link_line(first.link),
        subtitle_align="right",
        padding=(0, 1),
    )


def _copies(plan: Plan) -> str:
    more = sum(map(len, plan.experts.values())) - len(plan.experts)
    return f", {more:,} further cop{'y' if more == 1 else 'ies'}" if more else ""


def _late(scenario: Scenario) -> str:
    experts = scenario.placement.experts
    if experts.timeout_ns is None:
        return ""
    what = "replaced" if experts.on_timeout == "replace" else "missed"
    return f", shares later than {DURATION.format(experts.timeout_ns)} {what}"


def _notes(nodes: list[NodePlan]) -> Iterator[str]:
    for node in nodes:
        yield from node.notes


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


def _legend() -> Text:
    text = Text()
    for what, colour in COLOURS.items():
        text.append("█ ", style=colour)
        text.append(f"{what}  ")
    text.append("░ free   ~ assumed: no source backs this figure\n")
    for evidence, meaning in EVIDENCE_MEANINGS.items():
        text.append(*mark(evidence))
        text.append(f" {meaning}  ")
    text.append(
        "\nWhat this cluster does is a projection from these figures; nothing here is measured."
    )
    return text
