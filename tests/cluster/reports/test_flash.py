"""What a run says of pages of flash."""

from cluster.reports.flash import count_lines, flash_lines, page_figures, tier_figures
from cluster.runs.run import run_traced
from cluster.workload.build import build_workload
from cluster.worlds.blueprint import Blueprint
from configs.layouts import expert_reads
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
    counts = tier_figures(run.usage)["hbf-0.hbf"]
    assert counts["pages_sensed"] == figures["hbf-0.hbf.read"]["pages"]
    assert counts["read_bytes"] >= counts["asked_read_bytes"] > 0
    (line,) = count_lines(run.usage)
    assert line == (
        f"in hbf-0.hbf: {counts['pages_sensed']:,} pages sensed, 0 page-cache hits, 0 retries, "
        "0 refreshes, 0 pages programmed"
    )
    assert 20 < figures["hbf-0.hbf.read"]["p50"] <= figures["hbf-0.hbf.read"]["p99.9"] < 100
    again, _ = run_traced(blueprint, workload)
    assert again.page_latencies == run.page_latencies
    assert again.trace_hash == run.trace_hash


def test_experts_are_read_in_as_many_pieces_as_their_layout_has() -> None:
    """Row-major fp32 in tiles of 16 x 16; 512 pages of cache for 128 tiles at once, so 4 for each.
    Gate and up, 128 x 64, have 256 B a row: each of their 32 tiles is in one page of 8, in turn, so
    none is at hand when it is asked for again. Down, 64 x 128, has 512 B a row: 32 tiles, 2 pages.
    """
    layout = {"order": "row", "tile_rows": 16, "tile_columns": 16}
    changes = {
        "cluster.nodes.experts.device": "ocp-hbf-grade2",
        "cluster.nodes.experts.device.tiers.hbf.layout": layout,
        "workload.arrivals": {"closed": {"concurrency": 2, "num_requests": 2}},
    }
    blueprint = Blueprint.draw(load_scenario("demo", changes))
    tier = blueprint.plan.node("experts-0").device.tiers["hbf"]
    pieces = expert_reads(blueprint.model, blueprint.scenario.model.precision, tier)
    run, _ = run_traced(blueprint, build_workload(blueprint.scenario, blueprint.model.vocab))
    pages = {
        name: figures["pages"]
        for name, figures in page_figures(run.page_latencies).items()
        if name.startswith("experts")
    }
    assert len(pages) == 4
    assert pieces == 32 + 32 + 64
    assert all(num > 0 and num % pieces == 0 for num in pages.values())
