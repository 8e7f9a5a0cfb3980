"""`perfuse chaos run|list`: experiments, and their verdicts."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cluster.cli.console import clear_errors, console

if TYPE_CHECKING:
    from cluster.chaos.experiments.phases import Outcome


def run(
    experiment: Annotated[str, typer.Argument(help="a name (perfuse chaos list), or a YAML file")],
    html: Annotated[
        Path | None, typer.Option(help="also write a page with pictures", show_default=False)
    ] = None,
) -> None:
    """Run one experiment in virtual time, without its faults and with them: exit 1 where its
    hypothesis does not hold.
    """
    from cluster.chaos.experiments.phases import run_experiment
    from cluster.chaos.experiments.schema import experiment_path, load_experiment

    with clear_errors():
        path = experiment_path(experiment)
        wanted = load_experiment(path)
        console.print(f"[bold]{path.stem}[/]: {wanted.about.strip()}", highlight=False)
        console.print(f"expected: {wanted.expects.strip()}", style="dim", highlight=False)
        outcome = run_experiment(wanted, path)
        _show(outcome)
        if html is not None:
            from cluster.chaos.experiments.page import page

            html.parent.mkdir(parents=True, exist_ok=True)
            html.write_text(page(outcome), encoding="utf-8")
            console.print(f"written: {html}", soft_wrap=True)
    raise typer.Exit(0 if outcome.holds else 1)


def list_() -> None:
    """Show the experiments that are shipped, and what a hypothesis may compare."""
    from rich.table import Table

    from cluster.chaos.experiments.measures import MEASURES
    from cluster.chaos.experiments.schema import experiment_path, load_experiment, shipped

    with clear_errors():
        table = Table("experiment", "what breaks", "hypothesis")
        for name in shipped():
            found = load_experiment(experiment_path(name))
            table.add_row(name, found.about.strip(), ", ".join(found.hypothesis))
        console.print(table)
        measures = Table("measure", "what it is")
        for name, measure in MEASURES.items():
            measures.add_row(name, measure.meaning)
        console.print(measures)


def _show(outcome: "Outcome") -> None:
    from rich.table import Table
    from rich.text import Text

    from cluster.chaos.experiments.verdict import figures, last_line, remarks, row

    phases = Table("measure", *outcome.phases)
    for name, values in figures(outcome):
        phases.add_row(name, *values)
    console.print(phases)
    table = Table("what should hold", "seen", "baseline", "bound", "holds")
    for claim, seen, base, bound, holds in map(row, outcome.verdicts):
        word = Text("yes", style="green") if holds else Text("NO", style="bold red")
        table.add_row(claim, seen, base, bound, word)
    console.print(table)
    for line in remarks(outcome):
        console.print(f"[red]{line}[/]", soft_wrap=True, highlight=False)
    console.print(last_line(outcome), soft_wrap=True, highlight=False)
