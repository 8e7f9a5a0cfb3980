"""What `perfuse status` shows."""

from collections.abc import Mapping
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from cluster.worlds.machines.world import AttachedWorld


def picture(world: AttachedWorld) -> Group:
    """A line a node, and where it is served."""
    told = world.status()
    scenario = world.blueprint.scenario
    table = Table(
        title=f"cluster {world.name}: scenario {scenario.name}, model {scenario.model.name}",
        title_justify="left",
    )
    table.add_column("node", no_wrap=True)
    for column in ("machine", "state"):
        table.add_column(column, overflow="fold")
    for column in ("pid", "epoch", "tasks", "calls", "MiB", "overruns", "clock"):
        table.add_column(column, justify="right")
    for node, one in told["nodes"].items():
        table.add_row(node, str(one["machine"]), *_state(one, scenario.cluster.restarts_max))
    where = f"serving at {told['url']}/v1" if told["url"] else "not served: perfuse serve --attach"
    return Group(
        table,
        *([Text(told["problem"], style="bold")] if told["problem"] else []),
        Text(
            f"{where}. overruns: runs and deliveries more than 1 ms late on the wall; clock: how "
            "far the cluster's clock is ahead of the machine's, and how sure that is",
            style="dim",
        ),
    )


def _state(one: Mapping[str, Any], restarts: int) -> list[str]:
    epoch = str(one["epoch"])
    if one["gone"]:
        return [_gone(one, restarts), "", epoch, "", "", "", "", ""]
    if one["note"] == "joins":
        return ["joins", "", epoch, "", "", "", "", ""]
    if "pid" not in one:
        return ["does not answer", "", epoch, "", "", "", "", ""]
    share = one["overruns"] / max(1, one["runs"])
    lives = f"lives, restarted {one['restarts']} times" if one["restarts"] else "lives"
    return [
        one["note"] or lives,
        str(one["pid"]),
        epoch,
        str(one["tasks"]),
        str(one["calls"]),
        f"{one['resident_bytes'] / (1 << 20):,.0f}",
        f"{share:.1%} of {one['runs']:,}",
        _clock(one["clock"]),
    ]


def _gone(one: Mapping[str, Any], restarts: int) -> str:
    """Why, and what can be done where nothing more comes by itself."""
    if one["restarts"] < restarts:
        return f"gone: {one['gone']}"
    return (
        f"gone: {one['gone']}; it was restarted {one['restarts']} times, as often as "
        "cluster.restarts allows: `perfuse down`, then up"
    )


def _clock(told: Mapping[str, Any] | None) -> str:
    if told is None:
        return "its own"
    return (
        f"{told['ahead_ns'] / 1e6:+,.3f} ms ± {told['error_ns'] / 1e6:.3f}, {told['ppm']:+.1f} ppm"
    )
