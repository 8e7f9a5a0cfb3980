"""What a tier with banks is charged for, by hand: 8 pJ a byte sensed, 24 pJ a byte programmed, 4 pJ
a byte that crosses a bus; see `flash`.
"""

import pytest

from tests.workers.hardware.banked.flash import PAGE, end_ns, machine, reads, stretch, writes
from workers.hardware.energy.conservation import differences
from workers.hardware.energy.phase import Phase
from workers.hardware.hardware import Hardware
from workers.hardware.sharing.banked import reads as banked_reads
from workers.hardware.usage import tier_counts
from workers.hardware.work import Demand, Work

PJ = 1e-12
BUS = {"channel_pj_per_bit": 0.5}


def counts(hardware: Hardware) -> dict[str, int]:
    return tier_counts(hardware.spec.tiers, hardware.resources)["hbm"]


def spent(hardware: Hardware) -> dict[str, float]:
    """Component -> joules, which all accounts agree on."""
    told = hardware.meter.read(10**9, {"machine": hardware.joules, "link": 0.0})
    assert differences("m", told) == []
    return {name: sum(phases.values()) for name, phases in told.dynamic.items()}


@pytest.mark.parametrize(("granularity", "moved"), [(None, PAGE), (100, 300)])
def test_a_few_bytes_are_a_page_sensed_and_whole_grains_moved(
    granularity: int | None, moved: int
) -> None:
    """250 bytes, asked for twice: nobody keeps the page, so it is sensed twice."""
    hardware = machine(read_granularity_bytes=granularity, **BUS)
    end_ns(hardware, reads(0, 0, size=250))
    assert spent(hardware) == {
        "hbm.read": pytest.approx(2 * PAGE * 8 * PJ),
        "hbm.read.channel": pytest.approx(2 * moved * 4 * PJ),
    }
    assert (counts(hardware)["asked_read_bytes"], counts(hardware)["read_bytes"]) == (
        500,
        2 * moved,
    )


def test_a_page_at_hand_is_moved_and_not_sensed() -> None:
    hardware = machine(page_cache=1, **BUS)
    end_ns(hardware, reads(0, 0, 0))
    assert spent(hardware) == {
        "hbm.read": pytest.approx(PAGE * 8 * PJ),
        "hbm.read.channel": pytest.approx(3 * PAGE * 4 * PJ),
    }
    assert (counts(hardware)["pages_sensed"], counts(hardware)["page_cache_hits"]) == (1, 2)


def test_what_is_sensed_again_is_charged_again_and_moved_once() -> None:
    hardware = machine(read_retry={"probability": 0.5, "latency_ns": 3_000}, **BUS)
    for at_ns in range(0, 10**6, 10_000):
        end_ns(hardware, reads(0), at_ns)
    retries = counts(hardware)["retries"]
    assert 0 < retries < 100
    assert counts(hardware)["pages_sensed"] == 100 + retries
    assert spent(hardware) == {
        "hbm.read": pytest.approx((100 + retries) * PAGE * 8 * PJ),
        "hbm.read.channel": pytest.approx(100 * PAGE * 4 * PJ),
    }


def test_a_block_written_anew_is_sensed_and_programmed_and_wears() -> None:
    """50,000 ns hold three pages of 4,000 and 10,000 ns; seven reads of a plane make two blocks."""
    hardware = machine(read_disturb={"reads": 3, "refresh_ns": 50_000})
    for at_ns in range(0, 7 * 10**5, 10**5):
        end_ns(hardware, reads(0), at_ns)
    assert spent(hardware) == {
        "hbm.read": pytest.approx(7 * PAGE * 8 * PJ),
        "hbm.read.refresh": pytest.approx(2 * 3 * PAGE * (8 + 24) * PJ),
    }
    found = counts(hardware)
    assert (found["refreshes"], found["pages_programmed"]) == (2, 6)
    assert (found["asked_write_bytes"], found["written_bytes"]) == (0, 6 * PAGE)


def test_writes_are_whole_pages_programmed_and_moved() -> None:
    hardware = machine(**BUS)
    end_ns(hardware, writes(0, 1, size=1))
    assert spent(hardware) == {"hbm.write": pytest.approx(2 * PAGE * (24 + 4) * PJ)}
    found = counts(hardware)
    assert (found["asked_write_bytes"], found["written_bytes"]) == (2, 2 * PAGE)
    assert found["pages_programmed"] == 2


def test_a_long_stretch_is_charged_as_its_pages_are() -> None:
    hardware = machine(**BUS)
    end_ns(hardware, stretch(0, 600))
    assert spent(hardware) == {
        "hbm.read": pytest.approx(600 * PAGE * 8 * PJ),
        "hbm.read.channel": pytest.approx(600 * PAGE * 4 * PJ),
    }


def test_reads_that_go_on_as_those_before_are_counted_alike(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """1,000 reads of one page, of which 100 are served: 99 of these hits, and so all but the first
    of the others.
    """
    monkeypatch.setattr(banked_reads, "ONE_BY_ONE_PAGES_MOST", 100)
    hardware = machine(page_cache=1, **BUS)
    end_ns(hardware, reads(*[0] * 1_000))
    assert (counts(hardware)["pages_sensed"], counts(hardware)["page_cache_hits"]) == (1, 999)
    assert spent(hardware)["hbm.read"] == pytest.approx(PAGE * 8 * PJ)


def test_whose_it_was_is_kept_for_every_part() -> None:
    hardware = machine(**BUS)
    hardware.launch(Work("w", (reads(0),)), 0, Phase.DECODE)
    told = hardware.meter.read(10**6, {})
    assert {name: list(by) for name, by in told.dynamic.items()} == {
        "hbm.read": ["decode"],
        "hbm.read.channel": ["decode"],
    }


def test_nothing_asked_costs_nothing() -> None:
    hardware = machine(**BUS)
    end_ns(hardware, Demand("hbm.read", 0))
    assert hardware.joules == 0 and spent(hardware) == {}
