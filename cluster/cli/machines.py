"""`perfuse up|status|scale|down`: a cluster on machines of a Ray cluster, longer than a command."""

from typing import Annotated

import typer

from cluster.cli.attached import joined
from cluster.cli.console import clear_errors, console, overrides
from cluster.cli.options import Address, Scenario, Set
from cluster.worlds.machines import names

Name = Annotated[
    str | None,
    typer.Argument(help="of the cluster; left out, the only one", show_default=False),
]


def up(
    scenario: Scenario,
    address: Address = None,
    name: Annotated[
        str | None,
        typer.Option(help="of the cluster; left out, the scenario's", show_default=False),
    ] = None,
    set_: Set = None,
) -> None:
    """Let a cluster stand on a Ray cluster, which is started here if none is known."""
    from cluster.worlds.blueprint import Blueprint
    from cluster.worlds.machines.joining import end_unused_ray, join
    from configs.schema import load_scenario

    with clear_errors():
        changes = {**overrides(set_ or ()), "cluster.world": "ray"}
        blueprint = Blueprint.draw(load_scenario(scenario, changes))
        called = name or blueprint.scenario.name
        names.check(called)
        console.print("[dim]joining Ray, which is started here if none is known[/]")
        join(address, starts=True)
        from cluster.worlds.machines.up import up as raise_up
        from cluster.worlds.machines.world import attached

        try:
            raise_up(blueprint, called, lambda step: console.print(f"[dim]{step}[/]"))
        except BaseException:
            end_unused_ray()  # nobody else would
            raise
        hosts = attached(called).setup.hosts
        console.print(
            f"[bold]{called}[/] stands, machines: {len(hosts)}. `perfuse status {called}` "
            f"shows it, `perfuse serve --attach {called}` serves it, `perfuse down {called}` ends "
            "it"
        )


def status(name: Name = None, address: Address = None) -> None:
    """Show a cluster's nodes: machines, incarnations, load, overruns, clocks."""
    with clear_errors():
        world = joined(name, address)
        from cluster.cli.machines_status import picture  # only now: see `join`

        console.print(picture(world))


def scale(
    counts: Annotated[
        list[str], typer.Argument(metavar="GROUP=COUNT...", help="nodes of chips: decode=4")
    ],
    name: Annotated[
        str | None,
        typer.Option(help="of the cluster; left out, the only one", show_default=False),
    ] = None,
    address: Address = None,
) -> None:
    """Give a cluster more decode or prefill chips, or take some away, while it serves."""
    with clear_errors():
        wanted = _counts(counts)
        world = joined(name, address)
        try:
            world.scale(wanted, lambda step: console.print(f"[dim]{step}[/]"))
        except KeyboardInterrupt:
            console.print("[dim]it goes on without this command: `perfuse status` shows it[/]")
            raise
        from cluster.worlds.scaling import counts_of

        console.print(f"[bold]{world.name}[/] stands with {counts_of(world.blueprint, wanted)}")


def _counts(words: list[str]) -> dict[str, int]:
    """`decode=4` as {"decode": 4}. Raises ValueError."""
    counts: dict[str, int] = {}
    for word in words:
        group, sign, count = word.partition("=")
        if not (group and sign and count.isascii() and count.isdigit() and int(count)):
            raise ValueError(
                f"{word!r}: must be GROUP=COUNT with a count of 1 or more, e.g. decode=4"
            )
        if group in counts:
            raise ValueError(f"{word!r}: {group} is named twice")
        counts[group] = int(count)
    return counts


def down(name: Name = None, address: Address = None) -> None:
    """End a cluster on a Ray cluster; leaves nothing of it on any machine."""
    from cluster.worlds.machines.joining import end_unused_ray, join

    with clear_errors():
        join(address)
        from cluster.worlds.machines.down import take_down
        from cluster.worlds.machines.standing import the_cluster

        if name is None and end_unused_ray():
            console.print("no cluster stood there; Ray, which was started here, has ended")
            return
        called = the_cluster(name)
        take_down(called)
        console.print(f"[bold]{called}[/] is down")
        if end_unused_ray():
            console.print("[dim]and so is Ray, which was started here for it[/]")
