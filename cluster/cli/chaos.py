"""`perfuse chaos`: `search` looks for what breaks a law, `replay` repeats it."""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.markup import escape

from cluster.cli import chaos_run, chaos_tour
from cluster.cli.console import clear_errors, console, warn
from cluster.cli.until_signal import until_signal

if TYPE_CHECKING:
    from cluster.chaos.search import Found
    from cluster.chaos.trial import Seen, Trial
    from cluster.chaos.work import Worker

app = typer.Typer(
    help="Break a virtual cluster, by plan or at random, and look whether what it promises holds.",
    no_args_is_help=True,
)
app.command("run")(chaos_run.run)
app.command("list")(chaos_run.list_)
app.command()(chaos_tour.tour)
Numerics = Annotated[
    Literal["digest", "real"],
    typer.Option(help="digest: any model, fast; real: perfuse-tiny's numbers"),
]
Out = Annotated[Path, typer.Option(help="folder for what fails: a YAML file and a picture each")]
SHOWN_MAX = 10
ENDED = 130  # as shells have it of what SIGINT ends


@app.command()
def search(
    seeds: Annotated[int, typer.Option(min=1, help="trials at most")] = 1_000,
    first_seed: Annotated[int, typer.Option(min=0, help="the first fresh seed")] = 0,
    budget: Annotated[str, typer.Option(help="time after which no round begins: 60 s")] = "60 s",
    numerics: Numerics = "digest",
    workers: Annotated[
        int | None, typer.Option(min=1, help="processes; left out, one a core", show_default=False)
    ] = None,
    out: Out = Path("out/chaos"),
    shrink: Annotated[bool, typer.Option(help="reduce what fails")] = True,
    until_broken: Annotated[
        bool, typer.Option("--until-broken", help="end where the first law is broken")
    ] = False,
) -> None:
    """Random clusters, requests and faults: exit 1 where a law is broken. Ctrl-C ends it with what
    was found by then, exit 130 where that is nothing.
    """
    import os

    from cluster.chaos.processes import processes
    from cluster.chaos.search import search

    with clear_errors():
        budget_s = _seconds(budget)
        width = workers or os.cpu_count() or 1
        with until_signal() as ended, processes(numerics, width) as run:
            console.print(f"at most {budget}; Ctrl-C ends it and says what was found by then")
            found = search(
                run, first_seed, seeds, budget_s, width, _Progress(),
                until_broken=until_broken, has_ended=lambda: ended.has_come,
            )  # fmt: skip
        _show_coverage(found)
        if found.failures:
            _keep(found.failures, numerics, out, shrink=shrink)
        console.print(_summary(found), soft_wrap=True)
    raise typer.Exit(1 if found.failures else ENDED if ended.has_come else 0)


@app.command()
def replay(
    trial: Annotated[str, typer.Argument(help="a trial's name (17, 17.3.5), or its YAML file")],
    numerics: Numerics = "digest",
    out: Out = Path("out/chaos"),
) -> None:
    """Repeat one trial exactly, twice, and draw what happened: exit 1 where a law is broken."""
    from tempfile import TemporaryDirectory

    from cluster.chaos.work import Worker

    with clear_errors(), TemporaryDirectory(prefix="perfuse-chaos-") as folder:
        worker = Worker(numerics, Path(folder))
        wanted = _wanted(trial, worker)
        seen = worker.run(wanted, twice=True)
        _draw(out, wanted, seen)
        console.print(
            f"trial {wanted.name}: {len(wanted.asks)} requests, {len(wanted.faults)} faults "
            f"({seen.num_fired} fired), {seen.num_envelopes:,} envelopes, "
            f"{seen.num_tokens} tokens, {seen.num_failed} failed; trace {seen.trace_hash}",
            soft_wrap=True,
        )
        for line in seen.broken:
            _red(line)
        console.print("no law is broken" if not seen.broken else f"broken: {_laws([seen])}")
    raise typer.Exit(1 if seen.broken else 0)


def _wanted(trial: str, worker: "Worker") -> "Trial":
    from cluster.chaos.written import read_trial

    path = Path(trial)
    return read_trial(path) if path.suffix in (".yaml", ".yml") else worker.trial(trial)


def _seconds(text: str) -> float:
    from pydantic import TypeAdapter

    from configs.units import TEXT, DurationNs

    try:
        ns: int = TypeAdapter(DurationNs).validate_python(text, context=dict(TEXT))
    except ValueError as error:
        raise ValueError(f"--budget {text!r}: must be a time with its unit, as 60 s") from error
    return ns / 1e9


class _Progress:
    """A line a round, and what broke in it at once: a long search is read while it runs."""

    def __init__(self) -> None:
        self._num_told = 0

    def __call__(self, found: "Found") -> None:
        rate = found.num_trials / found.took_s
        console.print(
            f"{found.num_trials:,} trials in {found.took_s:.0f} s ({rate:.1f}/s), "
            f"{found.coverage.num_features:,} features, {len(found.failures)} broken",
            highlight=False,
        )
        for seen in found.failures[self._num_told :]:
            _red(f"  {seen.name}: {seen.broken[0]:.200}")
        self._num_told = len(found.failures)


def _red(text: str) -> None:
    console.print(f"[red]{escape(text)}[/]", soft_wrap=True, highlight=False)


def _show_coverage(found: "Found") -> None:
    from rich.table import Table

    from cluster.chaos.kinds import IMPOSSIBLE
    from cluster.chaos.points import POINTS

    table = Table("fault", *POINTS, title="faults met at each point of a request's life")
    for what, counts in found.coverage.rows():
        table.add_row(what, *counts)
    console.print(table)
    for title, cells in (
        ("empty", [cell for cell, _ in found.coverage.wanted()]),
        ("no cluster of this search could meet", found.coverage.out_of_reach()),
    ):
        if cells:
            shown = ", ".join(f"{what} at {point}" for what, point in cells)
            console.print(f"{title}: {shown}", soft_wrap=True, highlight=False)
    for (what, point), why in IMPOSSIBLE.items():
        console.print(f"cannot be: {what} at {point}: {why}", soft_wrap=True, highlight=False)


def _keep(failures: "list[Seen]", numerics: Literal["digest", "real"], out: Path, *, shrink: bool
          ) -> None:  # fmt: skip
    """One of each kind of failure is reduced, written and drawn."""
    from tempfile import TemporaryDirectory

    from cluster.chaos.shrink import shrink as reduced
    from cluster.chaos.work import Worker

    with TemporaryDirectory(prefix="perfuse-chaos-") as folder:
        worker = Worker(numerics, Path(folder))
        for first in failures[:SHOWN_MAX]:
            trial = worker.trial(first.name)
            seen = worker.run(trial, twice="same" in first.laws)
            if shrink and seen.broken:
                small = reduced(trial, seen, worker.run)
                trial, seen = small.trial, small.seen
            path = _draw(out, trial, seen)
            console.print(f"{path}: {len(trial.faults)} faults, {len(trial.asks)} requests")
            for line in seen.broken[:3]:
                _red(f"  {line}")
    if len(failures) > SHOWN_MAX:
        warn(f"{len(failures) - SHOWN_MAX} more are not written: perfuse chaos replay NAME")


def _draw(out: Path, trial: "Trial", seen: "Seen") -> Path:
    from cluster.chaos.timeline import picture
    from cluster.chaos.written import write_trial

    out.mkdir(parents=True, exist_ok=True)
    path = out / f"{trial.name}.yaml"
    path.write_text(write_trial(trial, "\n".join(seen.broken)))
    path.with_suffix(".svg").write_text(picture(seen))
    return path


def _laws(failures: "list[Seen]") -> str:
    counts = Counter(law for seen in failures for law in sorted(seen.laws))
    return ", ".join(f"{law} {count}" for law, count in counts.items())


def _summary(found: "Found") -> str:
    """The last line."""
    if not found.num_trials:
        return "no trial was run"
    envelopes = sorted(found.envelopes)
    median = envelopes[len(envelopes) // 2]
    empty = len(found.coverage.empty())
    broken = f"{len(found.failures)} broken ({_laws(found.failures)})" if found.failures else (
        "no law broken")  # fmt: skip
    names = " ".join(seen.name for seen in found.failures[:SHOWN_MAX])
    return (
        f"{found.num_trials:,} trials in {found.took_s:.1f} s "
        f"({found.num_trials / found.took_s:.1f}/s), median {median:,} envelopes, "
        f"{found.num_answered:,} answered, {found.num_failed:,} failed clearly, "
        f"{empty} empty cells: {broken}" + (f": {names}" if names else "")
    )
