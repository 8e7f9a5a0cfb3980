"""What a run says of the wear of files behind flash tiers."""

from typing import Any

import pytest

from cluster.reports.flash_file import file_wear_figures, file_wear_lines, wears_since
from cluster.runs.run import run_traced
from cluster.workload.build import build_workload
from cluster.worlds.blueprint import Blueprint
from configs.schema import load_scenario
from workers.flash.wear import Wear

IN_FILE = {
    "cluster.nodes.hbf.device.tiers.hbf.file": {
        "capacity": "1088 KiB", "pages_per_block": 16, "spare_blocks": 3,
    },
    "cluster.nodes.hbf.tiers.pool": "hbf",
    "cluster.nodes.pnm": None,
    "workload.arrivals": {"closed": {"concurrency": 2, "num_requests": 24}},
}  # fmt: skip
YEAR_S = 365.25 * 86_400


def wear(asked_bytes: int, programmed_bytes: int, span_ns: int) -> Wear:
    return Wear(
        num_blocks=8, num_worn=1, num_bad=2, erases_min=3, erases_mean=4.25, erases_max=5,
        asked_bytes=asked_bytes, programmed_bytes=programmed_bytes, span_ns=span_ns,
        remaining_bytes=int(YEAR_S) * 1_000, capacity_bytes=9, new_bytes=10, num_damaged=0,
        num_found=0, num_hits=0,
    )  # fmt: skip


def test_what_was_written_meanwhile_is_the_run_s() -> None:
    before, after = wear(100, 110, 1_000), wear(400, 560, 4_000)
    run = after.since(before)
    assert (run.asked_bytes, run.programmed_bytes, run.span_ns) == (300, 450, 3_000)
    assert run.amplification == 1.5
    assert run.programmed_bytes_per_s == 150e6
    assert after.since(None) == after
    assert before.since(after) == before, "it was opened again meanwhile"
    assert wear(0, 0, 0).amplification == 1 and wear(0, 0, 0).programmed_bytes_per_s == 0
    assert wears_since({}, {"a": {}, "b": {"hbf": after}}) == {"b": {"hbf": after}}


def test_years_are_cycles_times_capacity_over_what_is_programmed() -> None:
    """1,000 B/s: the file has a year left. The tier, 512 GiB of 1e5 cycles, has 5.5e16 B."""
    plan = Blueprint.draw(load_scenario("demo", IN_FILE)).plan
    (figures,) = file_wear_figures(plan, {"hbf-0": {"hbf": wear(500, 1_000, 10**9)}}).values()
    assert figures["file_life_years"] == pytest.approx(1, rel=1e-6)
    assert figures["tier_life_years"] == pytest.approx((512 << 30) * 1e5 / 1_000 / YEAR_S)
    assert figures["write_amplification"] == 2
    (idle,) = file_wear_figures(plan, {"hbf-0": {"hbf": wear(0, 0, 10**9)}}).values()
    assert idle["file_life_years"] is idle["tier_life_years"] is None
    (line,) = file_wear_lines(plan, {"hbf-0": {"hbf": wear(0, 0, 10**9)}})
    assert line.endswith("2 of 8 blocks out of service, 0 B programmed, write amplification 1.00")
    (line,) = file_wear_lines(plan, {"hbf-0": {"hbf": wear(500, 1_000_000, 10**9)}})
    assert line.endswith(
        "; at 1 MB/s, as in this run, the file itself lasts 0.001 years (projection)"
    )


def test_a_run_tells_what_its_pool_wore() -> None:
    blueprint = Blueprint.draw(load_scenario("demo", IN_FILE))
    workload = build_workload(blueprint.scenario, blueprint.model.vocab)
    run, _ = run_traced(blueprint, workload)
    figures: dict[str, Any] = file_wear_figures(blueprint.plan, run.flash_wear)["hbf-0.hbf"]
    assert figures["programmed_bytes"] >= figures["asked_bytes"] > 24 * 17 * 4_096
    assert figures["erases_max"] >= figures["erases_min"] > 0
    assert 0 < figures["file_life_years"] < figures["tier_life_years"]
    (line,) = file_wear_lines(blueprint.plan, run.flash_wear)
    assert line.startswith("wear of hbf-0.hbf's file: erases ")
    again, _ = run_traced(blueprint, workload)
    assert again.flash_wear == run.flash_wear
    assert again.trace_hash == run.trace_hash
