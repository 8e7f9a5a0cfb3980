"""`perfuse demo`: the main job, end to end.

The scenario's cluster stands as Ray actors; its questions go to the HTTP endpoint with the official
`openai` client; then the same scenario runs in the virtual world, which computes its tokens anew;
then once more without retrieval. What came is compared in one table and written to summary.json,
and the demo fails if any of it does not hold.
"""

import json
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from cluster.cli.console import console
from cluster.cli.demo_client import ask_over_http
from cluster.cli.demo_verdicts import Verdict, same_tokens, verdicts
from cluster.cli.show import render
from cluster.gateway.settings import GatewaySettings
from cluster.reports.energy.report import EnergyReport, as_json, as_lines
from cluster.reports.footprint import resident_bytes
from cluster.reports.summary import Summary, overrun_fraction, summarise
from cluster.reports.tables import comparison
from cluster.runs.energy import energy_of
from cluster.runs.run import Run, metered, run_in_virtual
from cluster.workload.build import Workload, build_workload
from cluster.workload.driver import Answer
from cluster.worlds.blueprint import Blueprint
from configs.schema import load_scenario


def run_demo(name: str, changes: dict[str, object], out: Path) -> bool:
    """Run everything, show it, write `out`/summary.json; returns whether all of it held."""
    blueprint = Blueprint.draw(load_scenario(name, {**changes, "cluster.world": "local"}))
    console.print(render(blueprint.plan, blueprint.scenario, blueprint.model))
    workload = build_workload(blueprint.scenario, blueprint.model.vocab)
    local, figures = _run_local(blueprint, workload)
    console.print(
        "\n[bold]the same scenario in the virtual world[/]: tokens computed again, time exact"
    )
    virtual = _run_virtual("with retrieval", blueprint, workload)
    bare = _run_virtual("without retrieval", blueprint, _without_retrieval(workload))
    slo = blueprint.scenario.slo
    summaries = {
        "local": summarise(local.answers, slo),
        "virtual": summarise(virtual.answers, slo),
    }
    summary = _summary(local, virtual, bare, summaries, figures)
    energy = {
        world: energy_of(blueprint, run, summaries[world].num_tokens)
        for world, run in (("local", local), ("virtual", virtual))
    }
    summary["energy"] = {world: as_json(report) for world, report in energy.items()}
    shown = verdicts(summary, [local, virtual, bare])
    _show(local, summaries, summary, shown)
    _show_energy(energy)
    out.mkdir(parents=True, exist_ok=True)
    (out / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")
    console.print(f"written: {out / 'summary.json'}")
    return all(holds for _, _, holds in shown)


def _run_local(blueprint: Blueprint, workload: Workload) -> tuple[Run, dict[str, float]]:
    """The live part: answers, and what the processes took to start and to hold."""
    from cluster.worlds.local import local_world

    dilation = blueprint.scenario.cluster.dilation
    console.print(
        f"\n[bold]starting the cluster as Ray actors[/]: dilation {dilation:g}, "
        f"1 us of the cluster takes {dilation / 1e3:g} ms here"
    )
    begun_s = time.monotonic()
    with local_world(blueprint, lambda step: console.print(f"  [dim]{step}[/]")) as world:
        url = world.ask_gateway("serve_http", "127.0.0.1", 0, GatewaySettings())
        ready_s = time.monotonic() - begun_s
        console.print(f"  ready after {ready_s:.1f} s at {url}/v1")
        world.ask_all("reset_trace")
        with _progress() as progress:
            task = progress.add_task("asking over HTTP", total=len(workload.requests), last="")

            def show(answer: Answer) -> None:
                right = "[green]right[/]" if answer.is_exact else "[red]wrong[/]"
                progress.update(task, advance=1, last=f"{answer.text!r} {right}")

            answers = ask_over_http(url, workload, dilation, show)
        lateness = [record for records in world.ask_all("lateness").values() for record in records]
        energy = metered(world.ask_all("energy"))
        run = Run(answers, world.ask_gateway("held"), energy, lateness=lateness)
        resident_mb = resident_bytes(os.getpid(), world.folder) / 1e6
        failures = [text for texts in world.ask_all("failures").values() for text in texts]
    if failures:
        raise RuntimeError(f"{len(failures)} tasks failed, the first: {failures[0]}")
    return run, {"ready_s": ready_s, "resident_mb": resident_mb}


def _run_virtual(title: str, blueprint: Blueprint, workload: Workload) -> Run:
    with _progress() as progress:
        task = progress.add_task(title, total=len(workload.requests), last="")
        return run_in_virtual(
            blueprint,
            workload,
            lambda answer: progress.update(task, advance=1, last=repr(answer.text)),
        )


def _progress() -> Progress:
    return Progress(
        TextColumn("  {task.description}"),
        BarColumn(30),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[last]}"),
        console=console,
    )


def _without_retrieval(workload: Workload) -> Workload:
    requests = tuple(
        replace(timed, request=replace(timed.request, retrieval=None))
        for timed in workload.requests
    )
    return replace(workload, requests=requests)


def _summary(
    local: Run,
    virtual: Run,
    bare: Run,
    summaries: dict[str, Summary],
    figures: dict[str, float],
) -> dict[str, Any]:
    tpots = {a.request_id: a.tpot_ns for a in local.answers if a.tpot_ns is not None}
    overruns = {"local": overrun_fraction(local.lateness, tpots), "virtual": 0.0}
    worlds = {
        world: {
            "ttft_us_p50": summary.ttft_us_p50,
            "tpot_us_p50": summary.tpot_us_p50,
            "tokens_per_s": summary.tokens_per_s,
            "overrun_fraction": overruns[world],
            "e2e_us_p50": summary.e2e_us_p50,
            "phases_us": dict(summary.phases_us),
        }
        for world, summary in summaries.items()
    }
    return {
        "accuracy": {
            "with_retrieval": summaries["local"].accuracy,
            "without_retrieval": summarise(bare.answers).accuracy,
        },
        "tokens_equal": same_tokens(local.answers, virtual.answers),
        **worlds,
        "num_questions": len(local.answers),
        "trace_hash": virtual.trace_hash,
        **figures,
    }


def _show(
    local: Run,
    summaries: dict[str, Summary],
    summary: dict[str, Any],
    shown: list[Verdict],
) -> None:
    for answer in local.answers[:5]:
        mark = (
            "[green]right[/]" if answer.is_exact else f"[red]wrong[/], {answer.expected} was right"
        )
        console.print(f"  {answer.request_id}: {answer.text!r} {mark}")
    console.print()
    evidence = {"local": "projection, paced live", "virtual": "projection, exact"}
    console.print(comparison("local beside virtual", summaries, evidence))
    table = Table(title="what was shown", title_justify="left")
    table.add_column("what")
    table.add_column("figure", justify="right")
    table.add_column("holds")
    for name, figure, holds in shown:
        table.add_row(name, figure, "[green]yes[/]" if holds else "[bold red]no[/]")
    console.print(table)
    console.print(
        "[dim]Answers, tokens, memory, start and overruns are measured. Times are emulated: a "
        "projection from the devices' published figures (perfuse show), paced on the wall in "
        "local, exact in virtual.[/]"
    )
    console.print(f"[dim]trace hash {summary['trace_hash']}[/]")


def _show_energy(energy: dict[str, EnergyReport]) -> None:
    """In local it is drawn over the time that the wall took: idle power with it."""
    for world, report in energy.items():
        console.print(f"\n[bold]energy in the {world} world[/]")
        for line in as_lines(report):
            console.print(line)
