"""`perfuse chaos tour`: a minute in which a cluster breaks, and its readers hardly notice."""

from typing import TYPE_CHECKING, Annotated

import typer

from cluster.cli.console import clear_errors, console

if TYPE_CHECKING:
    from cluster.chaos.tour import Act, Heard


def tour(
    pause: Annotated[
        float, typer.Option(min=0, max=600, help="seconds to read each of five acts")
    ] = 10.0,
) -> None:
    """Break a running cluster step by step, and look whether its streams go on: exit 1 where an
    answer is not what it would have been.
    """
    from rich.table import Table

    from cluster.chaos.tour import READERS, TOKENS, Tour, faults_of

    with clear_errors():
        told = f"{READERS} readers, {TOKENS} tokens each, of a cluster in emulated time"
        console.print(f"[bold]{told}[/]", highlight=False)
        phase = Tour(_act, _heard, pause).run()
        table = Table("beside the reference", "of all readers")
        complaints = faults_of(phase)
        table.add_row("tokens", f"{sum(len(one.tokens) for one in phase.told):,}")
        for what, count in complaints.items():
            table.add_row(what, f"{count:,}")
        console.print(table)
        wrong = any(complaints.values())
        console.print("[red]something was lost[/]" if wrong else "every answer is as it should be")
    raise typer.Exit(1 if wrong else 0)


def _act(number: int, act: "Act") -> None:
    console.print(f"\n[bold]{number}. {act.title}[/]\n   {act.watch}", highlight=False)


def _heard(heard: "Heard") -> None:
    console.print(
        f"   at {heard.now_ns / 1e6:.2f} ms: {heard.tokens:,} tokens told, {heard.since:,} of them "
        f"since; nobody waited longer than {heard.gap_ns / 1e3:,.0f} us for the next",
        style="green" if heard.since else "red",
        highlight=False,
    )
