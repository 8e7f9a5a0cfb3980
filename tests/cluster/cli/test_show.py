"""The picture of a cluster shows every worker, tier and link, and hides nothing at 110 columns."""

import io

import pytest
from rich.console import Console

from cluster.cli.show import ranges, render
from cluster.cli.show_memory import Part, bar
from configs.plan import make_plan
from configs.presets import preset_names
from configs.schema import load_device, load_scenario
from tests.configs.shipped import config_of
from tests.configs.test_plan import TINY


def drawn(name: str, overrides=None) -> str:
    scenario = load_scenario(name, overrides)
    console = Console(width=110, file=io.StringIO(), color_system=None)
    config = config_of(name, TINY)
    console.print(render(make_plan(scenario, config), scenario, config))
    return console.file.getvalue()  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", preset_names("scenario"))
def test_everything_is_in_the_picture(name: str) -> None:
    text = drawn(name)
    scenario = load_scenario(name)
    plan = make_plan(scenario, config_of(name, TINY))
    for worker in plan.workers:
        assert worker.name in text
    for node in plan.nodes:
        assert node.device.name in text
        assert node.link.name in text
        assert f"[{node.device.evidence}]" in text
        assert all(tier in text for tier in node.device.tiers)
    assert max(map(len, text.splitlines())) <= 110


@pytest.mark.parametrize("name", preset_names("device"))
def test_every_shipped_device_can_be_drawn(name: str) -> None:
    """As a chip with experts and as a memory server, in which model, KV and passages fit."""
    as_chip = drawn("single", {"cluster.nodes.chip.device": name})
    as_server = drawn("demo", {"cluster.nodes.hbf.device": name})
    for text in (as_chip, as_server):
        assert f"{name} [{load_device(name).evidence}]" in " ".join(text.split())
        assert all(tier in text for tier in load_device(name).tiers)
        assert max(map(len, text.splitlines())) <= 110


def test_figures_carry_their_units_and_guesses_a_mark() -> None:
    text = drawn("demo")
    assert "3.35 TB/s" in text
    assert "~2 us" in text  # lowlat-2us: the latency is assumed
    assert "kv 134 MB" in text
    assert "collections " in text.split("hbf [secondary]")[1].splitlines()[0]
    assert "write 8 GB/s" in text


def test_flash_says_how_it_is_organised_and_what_hides_its_latency() -> None:
    """Grade 2: 1.536 TB/s x 20 us = 30.72 MB, 7,500 pages, and twice that in SRAM; 512 places are
    4 KiB each in 20.043 us, 104.6 GB/s.
    """
    grade2 = {"cluster.nodes.hbf.device": "ocp-hbf-grade2"}
    words = " ".join(drawn("demo", grade2).replace("│", " ").split())
    assert "16 channels × 16 banks × ~32 planes" in words
    assert "full rate: 7,500 of 16,384 reads in flight, 61.4 MB of SRAM, 12.3 mm² at 3 nm" in words
    few = {**grade2, "cluster.nodes.hbf.device.tiers.hbf.queue_depth": 512}
    words = " ".join(drawn("demo", few).replace("│", " ").split())
    assert "full rate: 7,500 of 512 reads in flight, reaches 104.6 GB/s" in words
    assert "channels" not in drawn("demo")


def test_a_tier_without_banks_says_what_hides_its_latency_and_where_it_falls_short() -> None:
    """H3's flash: 8 TB/s x 20 us are 39,062.5 pages, for which its 320 MB hold all but half a page.
    HBM of 3.35 TB/s x 80 % x 100 ns in pages of 32 B: 8,375; 64 of them are 20.5 GB/s.
    """
    words = " ".join(drawn("h3").replace("│", " ").split())
    assert "full rate: 39,063 of 39,062 reads in flight, 320 MB of SRAM" in words
    assert "full rate" not in drawn("single")
    few = {"cluster.nodes.chip.device.tiers.hbm.queue_depth": 64}
    words = " ".join(drawn("single", few).replace("│", " ").split())
    assert "full rate: 8,375 of 64 reads in flight, reaches 20.5 GB/s" in words


def test_a_file_behind_flash_is_shown_with_what_it_holds() -> None:
    """128 MiB in blocks of 64 pages of 4 KiB."""
    file = {"base": "ocp-hbf-grade1", "tiers": {"hbf": {"file": {"capacity": "128 MiB"}}}}
    changes = {"cluster.nodes.hbf.device": file, "cluster.nodes.hbf.tiers.pool": "hbf"}
    words = " ".join(drawn("demo", changes).replace("│", " ").split())
    assert "a file behind it: 128 MiB in 512 blocks of 64 pages, and 4 spare" in words
    assert "a file behind it" not in drawn("demo")


def test_a_speed_mode_says_what_rows_travel_as() -> None:
    assert "rows to experts" not in drawn("demo")
    assert " bf16 · bf16 rows to experts" in drawn("demo", {"model.dtype": "bf16"})
    changes = {"model.dtype": "bf16", "model.dispatch_dtype": "int8"}
    assert " bf16 · int8 rows to experts" in drawn("demo", changes)


def test_a_collection_that_cannot_be_read_does_not_spoil_the_picture() -> None:
    text = drawn("demo", {"placement.collections.cards.path": "/nowhere"})
    assert "memory-0" in text
    assert "collections 0" not in text


def test_runs_are_shortened() -> None:
    assert ranges((0, 1, 2, 3, 6, 8, 9)) == "0-3, 6, 8-9"
    assert ranges(()) == ""


def test_a_bar_is_always_as_long() -> None:
    for parts in ((), (("kv", 1),), (("weights", 50), ("kv", 50)), (("kv", 99), ("pool", 1))):
        text = bar(tuple(Part(what, size) for what, size in parts), 100, 20)
        assert text.cell_len == 22


def test_slices_are_told() -> None:
    degrees = {"tensor_parallel_size": 4, "decode_context_parallel_size": 2}
    changes = {
        "placement.kv_pool": False,
        "model.numerics": "digest",
        "cluster.nodes.prefill": None,
        "cluster.nodes.decode": None,
        "cluster.nodes.both": {
            "workers": ["chip"], "device": "h100-sxm", "link": "lowlat-2us", **degrees
        },
    }  # fmt: skip
    assert "each holds 8 of a KV block's 16 tokens" in " ".join(drawn("demo", changes).split())
