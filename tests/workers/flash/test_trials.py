"""The benchmark's trials in short: kills, power failures, flips, and a life to its end."""

import pytest

from benchmarks.memory import flash
from benchmarks.memory.flash_kills import kill_often
from benchmarks.memory.flash_trials import aged, flip_every_byte, lose_power, wear_out
from workers.flash.geometry import FlashGeometry
from workers.host.disk import MemoryDisk


def test_500_power_failures_lose_nothing() -> None:
    done = lose_power(500, seed=1)
    assert done.wrong == [] and done.num_losses == 500
    assert done.num_batches > 1000 and done.num_torn > 100 and done.num_devices > 0


def test_what_a_trial_finds_wrong_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk whose sync does nothing loses what was acknowledged."""
    monkeypatch.setattr(MemoryDisk, "sync", lambda self, name: None)
    assert lose_power(20, seed=1).wrong


@pytest.mark.live
def test_20_kills_lose_nothing() -> None:
    done = kill_often(20, seed=2)
    assert done.wrong == [] and done.num_kills == 20 and done.num_batches > 20


def test_every_seventh_byte_that_flips_is_noticed() -> None:
    geometry = FlashGeometry(num_blocks=4, spare_blocks=2, pages_per_block=4, page_bytes=512)
    raw, versions = aged(geometry, 40, seed=3)
    assert b"\xff" * geometry.raw_page_bytes in raw, "it has a void page"
    found = flip_every_byte(raw, versions, geometry, step=7)
    assert found.num_bytes == sum(found.by.values()) == -(-len(raw) // 7)
    assert found.unnoticed == [] and found.served == []
    assert found.by["page refused"] > 0 and found.by["named on opening, all pages read"] > 0


def test_a_life_to_its_end() -> None:
    geometry = FlashGeometry(
        num_blocks=10, spare_blocks=3, pages_per_block=4, page_bytes=512,
        endurance_cycles=60, wear_spread_max=6,
    )  # fmt: skip
    life = wear_out(geometry, 20, seed=4)
    assert life.wrong == [] and "fit" in life.refusal
    assert life.capacities[0] == 28 and life.capacities == sorted(life.capacities, reverse=True)
    assert life.capacities[-1] < 20
    assert life.spread_max <= 6 + flash.LEVEL_SLACK
    # Of 60 cycles x 40 pages; each block's own limit is within a tenth of 60.
    assert 0.8 * 2400 < life.num_programmed < 1.1 * 2400 and max(life.erases) <= 66


def test_the_life_that_is_shown_is_the_papers() -> None:
    assert flash.years().holds
