"""`perfuse run SCENARIO`: its workload in any world, and what users would have seen."""

import json
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from textwrap import indent
from typing import TYPE_CHECKING, Any

from rich.progress import Progress

from cluster.cli.console import console, warn
from cluster.reports.energy.report import as_json, as_lines
from cluster.reports.experts import expert_figures, expert_lines
from cluster.reports.flash import count_lines, flash_lines, page_figures, tier_figures
from cluster.reports.flash_file import file_wear_figures, file_wear_lines
from cluster.reports.network import network_figures, network_lines
from cluster.reports.reuse import NEAR, OFFLOAD, PREFETCH, figures_of, reuse_lines
from cluster.reports.summary import Summary, overrun_fraction, summarise
from cluster.reports.tables import comparison
from cluster.reports.utilisation import utilisation, utilisation_lines
from cluster.reports.wear import wear_lines
from cluster.runs.energy import energy_of, wear_of
from cluster.runs.routing import RoutingRecorder
from cluster.runs.run import Run, run_in, run_in_virtual, run_live
from cluster.workload.build import Workload, build_workload
from cluster.workload.driver import Answer
from cluster.worlds.blueprint import Blueprint
from configs.plan.forms import form_notes
from configs.schema import load_scenario
from workers.model.digest.recorded import write_routing

if TYPE_CHECKING:
    from cluster.worlds.machines.world import AttachedWorld


def run_scenario(
    name: str,
    changes: dict[str, object],
    json_file: Path | None,
    world: "AttachedWorld | None" = None,
    routing_file: Path | None = None,
) -> None:
    """Run, show, and write `json_file` if given; in a cluster that stands where one is given.
    Raises what the user can mend before anything starts.
    """
    blueprint = Blueprint.draw(load_scenario(name, changes))
    if world is not None:
        world.check_same(blueprint.scenario)
    workload = build_workload(blueprint.scenario, blueprint.model.vocab)
    if json_file is not None:  # now: all would have run before it could not be written
        json_file.parent.mkdir(parents=True, exist_ok=True)
    for note in (*workload.notes, *form_notes(blueprint.scenario)):
        warn(note)
    kind = blueprint.scenario.cluster.world
    recorder = _recorder(blueprint, routing_file)
    begun_s = time.monotonic()
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task(f"{kind} world", total=len(workload.requests))

        def advance(_: object) -> None:
            progress.advance(task)

        def step(text: str) -> None:
            progress.update(task, description=text)

        if world is not None:
            run = run_in(world, workload, advance)
        elif kind == "virtual":
            routed = None if recorder is None else recorder.take
            run = run_in_virtual(blueprint, workload, advance, routed)
        else:
            run = run_live(blueprint, workload, advance, step)
    summary = summarise(run.answers, blueprint.scenario.slo, run.preemptions, workload.num_skipped)
    _show(blueprint, run, summary, time.monotonic() - begun_s)
    if json_file is not None:
        _write(json_file, _figures(blueprint, run, summary, workload), run.answers)
        console.print(f"written: {json_file}")
    if routing_file is not None and recorder is not None:
        num_tokens = write_routing(routing_file, recorder.num_experts, recorder.table())
        console.print(f"written: {routing_file}: experts of {num_tokens:,} tokens")


def _recorder(blueprint: Blueprint, routing_file: Path | None) -> RoutingRecorder | None:
    """Raises ValueError where routing cannot be recorded."""
    if routing_file is None:
        return None
    kind = blueprint.scenario.cluster.world
    if kind != "virtual":
        raise ValueError(f"--record-routing: world is {kind!r}: use --world virtual")
    if not blueprint.model.num_experts:
        raise ValueError("--record-routing: the model has no experts: leave it out")
    if blueprint.plan.fold.is_on and blueprint.scenario.model.numerics == "counts":
        raise ValueError(
            "--record-routing: chips are folded, and model.numerics is 'counts': no token chooses "
            "by itself; set cluster.fold: off"
        )
    routing_file.parent.mkdir(parents=True, exist_ok=True)
    return RoutingRecorder(blueprint.model)


def _show(blueprint: Blueprint, run: Run, summary: Summary, elapsed_s: float) -> None:
    scenario = blueprint.scenario
    world: str = scenario.cluster.world
    evidence = {world: "projection" if scenario.cluster.emulation else "measured"}
    if scenario.model.numerics == "counts":
        evidence[world] += ", placeholders"
    console.print(
        comparison(f"scenario {scenario.name}, {world} world", {world: summary}, evidence)
    )
    if run.trace_hash:
        console.print(f"trace hash {run.trace_hash}")
    if scenario.cluster.emulation:
        console.print(_energy(run, summary.num_tokens))
    for line in as_lines(energy_of(blueprint, run, summary.num_tokens)):
        console.print(line)
    if longest := _longest(run):
        console.print(f"longest queues: {longest}")
    for line in expert_lines(blueprint.plan, run.counts):
        console.print(line)
    for line in _of_machines(blueprint, run):
        console.print(line)
    if run.lateness:
        fraction = overrun_fraction(run.lateness, _tpots(run))
        console.print(f"overruns {fraction:.2%} of {len(run.lateness):,} runs and deliveries")
    for answer in run.answers:
        if answer.error:
            console.print(f"[red]{answer.request_id}: {answer.error['message']}[/]")
            break
    if any(run.held.values()):
        console.print(f"[red]not let go: { {k: v for k, v in run.held.items() if v} }[/]")
    console.print(f"{elapsed_s:.1f} s of wall time")


def _of_machines(blueprint: Blueprint, run: Run) -> Iterator[str]:
    """What their parts did; nothing where nothing is emulated."""
    if not run.energy:
        return
    yield from utilisation_lines(utilisation(run.usage, run.energy))
    yield from flash_lines(run.page_latencies)
    yield from count_lines(run.usage)
    yield from reuse_lines(run.counts)
    yield from network_lines(run.network)
    yield from wear_lines(wear_of(blueprint, run))
    yield from file_wear_lines(blueprint.plan, run.flash_wear)


def _energy(run: Run, num_tokens: int) -> str:
    """Without idle power: what the tokens themselves cost."""
    if not num_tokens:
        return "energy of a token: none was generated"
    total = {
        what: sum(told[what] for told in run.joules.values()) / num_tokens * 1e6
        for what in ("machine", "link")
    }
    return (
        f"energy of a token {total['machine'] + total['link']:,.1f} uJ (projection): "
        f"{total['machine']:,.1f} in machines, {total['link']:,.1f} in links; idle power left out"
    )


def _longest(run: Run) -> str:
    """The three that were longest, of those in which more than one ever waited."""
    lengths = [
        (length, f"{length:,} {what} ({node})")
        for node, queues in run.queues.items()
        for what, length in queues.items()
        if length > 1
    ]
    return ", ".join(text for _, text in sorted(lengths, key=lambda pair: -pair[0])[:3])


def _tpots(run: Run) -> dict[str, float]:
    return {a.request_id: a.tpot_ns for a in run.answers if a.tpot_ns is not None}


def _write(path: Path, figures: dict[str, Any], answers: list[Answer]) -> None:
    """One JSON object: the figures, then `answers`, one after the other, as there may be many."""
    with path.open("w") as file:
        file.write(json.dumps(figures, indent=2).removesuffix("\n}") + ',\n  "answers": [')
        for number, answer in enumerate(answers):
            text = indent(json.dumps(_answer(answer), indent=2), "    ")
            file.write(("," if number else "") + "\n" + text)
        file.write(("\n  " if answers else "") + "]\n}\n")


def _figures(
    blueprint: Blueprint, run: Run, summary: Summary, workload: Workload
) -> dict[str, Any]:
    return {
        "scenario": blueprint.scenario.name,
        "seed": blueprint.scenario.seed,
        "world": blueprint.scenario.cluster.world,
        "trace_hash": run.trace_hash,
        "summary": asdict(summary),
        "held": run.held,
        "joules": run.joules,
        "energy": as_json(energy_of(blueprint, run, summary.num_tokens)),
        "queues": run.queues,
        "pages_us": page_figures(run.page_latencies),
        "tiers": tier_figures(run.usage),
        "flash_wear": file_wear_figures(blueprint.plan, run.flash_wear),
        "wear": [asdict(one) for one in wear_of(blueprint, run)],
        "utilisation": utilisation(run.usage, run.energy),
        "network": network_figures(run.network),
        "kv_offload": figures_of(OFFLOAD, run.counts),
        "kv_near": figures_of(NEAR, run.counts),
        "experts_prefetch": figures_of(PREFETCH, run.counts),
        "experts": expert_figures(blueprint.plan, run.counts),
        "overrun_fraction": overrun_fraction(run.lateness, _tpots(run)),
        "notes": [*workload.notes, *form_notes(blueprint.scenario)],
    }


def _answer(answer: Answer) -> dict[str, Any]:
    return {
        "request_id": answer.request_id,
        "text": answer.text,
        "token_ids": answer.token_ids,
        "finish_reason": answer.finish_reason,
        "error": answer.error,
        "submitted_ns": answer.submitted_ns,
        "ttft_ns": answer.ttft_ns,
        "tpot_ns": answer.tpot_ns,
        "itl_ns": answer.itl_ns,
        "e2e_ns": answer.e2e_ns,
        "times_ns": answer.phases_ns,
    }
