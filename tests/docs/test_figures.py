"""Emulated times are exact for a scenario and seed, so the pages say what the demo gives."""

import re
from functools import cache
from typing import Any

import pytest

from cluster.cli.console import overrides
from cluster.reports.summary import Summary, summarise
from cluster.runs.run import run_in_virtual
from cluster.workload.build import build_workload
from cluster.worlds.blueprint import Blueprint
from configs.schema import load_scenario
from tests.docs.pages import documented_examples, text

SHIPPED = "as shipped"
COMMAND = re.compile(r'^perfuse run demo(?: --set (\S+=(?:"[^"]+"|\S+)))?$', re.MULTILINE)
TIME = r"([\d.]+ us) \| "
ROW_OF_THE_TOUR = re.compile(rf"^\| .+ \| {TIME}{TIME}{TIME}([\d,]+) \|$", re.MULTILINE)
CHANGES = [said or SHIPPED for said in COMMAND.findall(text("docs/tour.md"))]
IN_README = [said for said in CHANGES if f"`--set {said}`" in text("README.md")]


@cache
def outcome(change: str) -> Summary:
    changes = overrides([] if change == SHIPPED else [change.replace('"', "")])
    blueprint = Blueprint.draw(load_scenario("demo", changes))
    workload = build_workload(blueprint.scenario, blueprint.model.vocab)
    run = run_in_virtual(blueprint, workload, lambda _: None)
    return summarise(run.answers, blueprint.scenario.slo, run.preemptions)


def row(page: str, command: str) -> str:
    return next(line for line in text(page).splitlines() if f"| `{command}` |" in line)


@pytest.mark.parametrize("change", CHANGES)
def test_the_tours_table_has_a_row_for_each_command_with_what_it_gives(change: str) -> None:
    found = outcome(change)
    times_us = (found.ttft_us_p50, found.tpot_us_p50, found.phases_us["expert_wait"])
    rows = ROW_OF_THE_TOUR.findall(text("docs/tour.md"))
    assert len(rows) == len(CHANGES)
    given = [*(f"{time_us:.1f} us" for time_us in times_us), f"{found.tokens_per_s:,.0f}"]
    assert list(rows[CHANGES.index(change)]) == given
    assert found.accuracy == 1


@pytest.mark.parametrize("change", IN_README)
def test_the_readme_says_what_other_hardware_gives(change: str) -> None:
    found = outcome(change)
    told = f"TPOT p50 {found.tpot_us_p50:.1f} us, {found.tokens_per_s:,.0f} tokens/s"
    assert told in row("README.md", f"--set {change}")


def test_readme_and_results_say_what_the_demo_gives() -> None:
    found = outcome(SHIPPED)
    assert len(IN_README) == 3
    readme = row("README.md", "perfuse run demo")
    results = text("docs/results.md").split("| `perfuse run demo`, seed 0")[1].splitlines()[0]
    for line in (readme, results):
        assert f"TTFT p50 {found.ttft_us_p50:.1f} us" in line
        assert f"TPOT p50 {found.tpot_us_p50:.1f} us" in line
        assert f"{found.tokens_per_s:,.0f} tokens/s" in line
    assert f"us, p99 {found.ttft_us_p99:.1f} us; TPOT" in results
    assert f"us, p99 {found.tpot_us_p99:.1f} us; " in results


def test_examples_of_quantities_are_values() -> None:
    """An example that is refused teaches nothing; those of names and lists need a cluster."""
    tried = 0
    for key, example in documented_examples().items():
        if (
            "<" in key
            or not re.match(r"(cluster|model|placement|slo)\.", key)
            or " " not in example
        ):
            continue
        base = "torus" if key.startswith("cluster.network.") else "demo"
        loaded: Any = load_scenario(base, overrides([f"{key}={example}"]))
        assert loaded, key
        tried += 1
    assert tried >= 5
