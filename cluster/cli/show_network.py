"""Draws a network: what it is made of, how long its ways are, and where its nodes are.

┌ network · torus 4 x 4 ───────────────────────────────┐
│ 16 places, 64 links of 25 GB/s  200 ns, ...          │
│ router     gateway   prefill-0  decode-0             │
└──────────────────────── adaptive routing, fair links ┘
"""

from collections.abc import Sequence
from itertools import groupby

from rich.console import Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from cluster.cli.show_figures import link_line
from cluster.network.build import Network
from cluster.network.figures import Figures, figures_of
from configs.units import BANDWIDTH, DURATION

# Of a torus, places that fit a screen.
_PLACES_MOST = 64
_SWITCHES_MOST = 16


def render_network(network: Network, in_network: Sequence[str] = ()) -> Panel:
    """in_network   keys of what its switches do"""
    section, told = network.section, figures_of(network)
    name = section.type.replace("_", "-")
    torus = network.torus
    shape = " " + " x ".join(map(str, torus.dims)) if torus is not None else ""
    rows = [_sizes(told), _ways(told)]
    if section.link is not None:
        rows.append(link_line(section.link))
    if section.priorities:
        order = ", ".join(f"{what} {weight}" for what, weight in section.priorities.items())
        rows.append(Text(f"{'strict order' if section.strict else 'weights'}: {order}, others 1"))
    does = ", ".join(in_network) or "nothing is asked of it"
    rows += [
        Text(f"{node} is {network.graph.ports[node]}: {does}")
        for node in sorted(network.graph.workers)
    ]
    grid = _grid(network) if torus is not None else _attached(network)
    return Panel(
        Group(*rows, *([] if grid is None else [grid])),
        title=Text.assemble(("network", "bold"), f" · {name}{shape}"),
        title_align="left",
        subtitle=f"{section.routing} routing, {section.sharing} links",
        subtitle_align="right",
        padding=(0, 1),
    )


def _sizes(told: Figures) -> Text:
    text = f"{told.num_switches} switches, {told.num_hops} links (one way each)"
    if told.across_bytes_per_s is not None:
        text += f", {BANDWIDTH.format(told.across_bytes_per_s)} from one half to the other"
    return Text(text)


def _ways(told: Figures) -> Text:
    return Text(
        f"ways of {told.mean_hops:.3g} links on average, at most {told.most_hops}; "
        f"{DURATION.format(told.least_ns)} to {DURATION.format(told.most_ns)} beside the nodes' "
        "own links"
    )


def _grid(network: Network) -> Table | None:
    """A torus's places: rows of its last dimension; planes of three one below the other."""
    torus = network.torus
    assert torus is not None, "only a torus has places"
    vertices = list(torus.places)
    if len(vertices) > _PLACES_MOST:
        return None
    table = Table.grid(padding=(0, 2))
    size = torus.dims[-1]
    for begin in range(0, len(vertices), size):
        row = vertices[begin : begin + size]
        table.add_row(*(v if v in network.graph.ports else Text("·", style="dim") for v in row))
    return table


def _attached(network: Network) -> Table | None:
    """Switches with the nodes at them; of others there is nothing to draw."""
    ports = network.graph.ports
    by_switch = sorted((vertex, node) for node, vertex in ports.items() if vertex != node)
    if not by_switch:
        return None
    table = Table.grid(padding=(0, 2))
    switches = [(v, [n for _, n in of]) for v, of in groupby(by_switch, key=lambda pair: pair[0])]
    for vertex, nodes in switches[:_SWITCHES_MOST]:
        table.add_row(Text(vertex, style="bold"), ", ".join(nodes))
    if len(switches) > _SWITCHES_MOST:
        table.add_row("...", f"{len(switches) - _SWITCHES_MOST} switches more")
    return table
