"""What a run says of pages of flash."""

from cluster.reports.flash import flash_lines, page_figures
from cluster.runs.run import run_traced
from cluster.workload.build import build_workload
from cluster.worlds.blueprint import Blueprint
from configs.schema import load_scenario


def test_ways_that_moved_nothing_are_left_out() -> None:
    latencies = {"memory-0": {"hbf.read": {100: 999, 120: 1}, "hbf.write": {}}, "chip-0": {}}
    figures = {"pages": 1_000, "p50": 0.1, "p99": 0.1, "p99.9": 0.1}
    assert page_figures(latencies) == {"memory-0.hbf.read": figures}
    line = "pages of memory-0.hbf.read: 1,000, p50 0.1 us, p99 0.1 us, p99.9 0.1 us"
    assert flash_lines(latencies) == [line]
    assert flash_lines({}) == []


def test_a_run_on_flash_with_banks_tells_how_long_its_pages_took() -> None:
    """Each search scans all vectors of the store: whole pages, none sooner than it is sensed."""
    changes = {
        "cluster.nodes.hbf.device": "ocp-hbf-grade2",
        "workload.arrivals": {"closed": {"concurrency": 2, "num_requests": 4}},
    }
    blueprint = Blueprint.draw(load_scenario("demo", changes))
    workload = build_workload(blueprint.scenario, blueprint.model.vocab)
    run, _ = run_traced(blueprint, workload)
    figures = page_figures(run.page_latencies)
    assert list(figures) == ["hbf-0.hbf.read"]
    assert figures["hbf-0.hbf.read"]["pages"] % 4 == 0
    assert 20 < figures["hbf-0.hbf.read"]["p50"] <= figures["hbf-0.hbf.read"]["p99.9"] < 100
    again, _ = run_traced(blueprint, workload)
    assert again.page_latencies == run.page_latencies
    assert again.trace_hash == run.trace_hash
