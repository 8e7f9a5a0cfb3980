"""What a summary says of energy, and what JSON does."""

import json
from dataclasses import replace

from cluster.reports.energy.report import as_json, as_lines, energy_report, joules
from configs.schema import EconomicsSection
from tests.cluster.reports.energy.readings import reading
from tests.workers.bench import make_device, make_link

A = reading({"hbm.read": {"kv_transfer": 0.75}}, 0.25, [1.0], until_ns=10**9, bucket_ns=10**9)
NODES = {"a": (make_device(idle_watts=0.25), make_link())}


def test_lines_say_what_was_spent_and_what_is_missing() -> None:
    report = energy_report({"a": A}, 100, NODES, EconomicsSection())
    lines = as_lines(report)
    assert (
        lines[0] == "energy 1 J (projection), mean 1 W, peak 1 W: KV transfer 750 mJ, idle 250 mJ"
    )
    # 1 W x 1.12 for a token of 10 ms: 1e6 x 0.01 J x 1.12 / 3.6e6 kWh x 350 g
    assert lines[1] == "100 tokens/J · 1.089 gCO2e/Mtoken operational (projection)"
    assert lines[2] == "USD/Mtoken, tokens/s/USD n/a: no price for device test"
    assert lines[-1] == "assumed of these: utilisation 1 (economics)"


def test_accounts_that_differ_and_nodes_that_lack_come_first() -> None:
    nodes = {**NODES, "b": NODES["a"], "c": NODES["a"]}
    readings = {"a": replace(A, buckets=[2.0]), "c": replace(A, is_restarted=False)}
    lines = as_lines(energy_report(readings, 100, nodes, EconomicsSection()))
    assert lines[0].startswith("[red]energy does not add up: a: with idle power")
    assert lines[1] == "energy is not whole: b is gone: what it drew is not in it"
    assert lines[2] == (
        "energy is not whole: c was started again meanwhile: what it drew before is not in it"
    )


def test_without_emulation_a_line_says_so() -> None:
    report = energy_report({}, 100, NODES, EconomicsSection())
    assert as_lines(report) == ["energy n/a: nothing is emulated"]
    assert as_json(report)["balance"] is None
    assert report.partial == ()


def test_json_holds_everything() -> None:
    report = energy_report({"a": A}, 100, NODES, EconomicsSection())
    told = json.loads(json.dumps(as_json(report)))
    assert told["balance"]["by_phase"] == {"kv_transfer": 0.75, "idle": 0.25}
    assert told["nodes"]["a"]["buckets"] == [1.0]
    by_name = {figure["name"]: figure for figure in told["figures"]}
    assert by_name["tokens_per_joule"]["value"] == 100
    assert by_name["usd_per_mtoken"]["value"] is None
    assert by_name["usd_per_mtoken"]["missing"] == "no price for device test"


def test_joules_have_a_unit_that_can_be_read() -> None:
    assert [joules(x) for x in (0.0, 2.5e-6, 0.0512, 3.754, 12_345.0)] == [
        "0 uJ", "2.5 uJ", "51.2 mJ", "3.75 J", "12.3 kJ"
    ]  # fmt: skip
