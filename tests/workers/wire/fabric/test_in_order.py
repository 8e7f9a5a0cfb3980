"""Links in order cut through: reckoned by hand."""

from typing import Any

import pytest

from tests.workers.wire.fabric.bench import arrivals, bench_of

pytestmark = pytest.mark.usefixtures("stand")

MIDDLE: dict[str, Any] = {
    "type": "given",
    "sharing": "fifo",
    "switches": ["left", "right"],
    "links": [
        *({"from": f"n-{i}", "to": "left"} for i in (0, 1)),
        *({"from": f"n-{i}", "to": "right"} for i in (2, 3)),
        {"from": "left", "to": "right"},
    ],
}


def test_a_message_goes_on_with_its_first_byte() -> None:
    """1,000 bytes over five links take them 1,000 ns, not 5,000: 1 us, 300 ns and that."""
    assert arrivals(bench_of(4, **MIDDLE), ("n-0", "n-2", 0, 1_000)) == [("n-0", "n-2", 2_300)]


def test_at_a_shared_link_who_is_there_first_goes_first() -> None:
    """n-1's message leaves 200 ns later, and waits 800 ns at left>right."""
    sends = ("n-0", "n-2", 0, 1_000), ("n-1", "n-3", 200, 1_000)
    assert arrivals(bench_of(4, **MIDDLE), *sends) == [
        ("n-0", "n-2", 2_300),
        ("n-1", "n-3", 3_300),
    ]


def test_who_waits_holds_no_other_link() -> None:
    """n-1's second message stays on the left side, behind its first on its own link alone."""
    sends = ("n-0", "n-2", 0, 1_000), ("n-1", "n-3", 0, 1_000), ("n-1", "n-0", 1, 100)
    assert set(arrivals(bench_of(4, **MIDDLE), *sends)) == {
        ("n-1", "n-0", 1_000 + 100 + 1_000 + 200),
        ("n-0", "n-2", 2_300),
        ("n-1", "n-3", 3_300),
    }


def test_the_slowest_link_is_paid_once() -> None:
    """A middle of half the speed: 2,000 ns for 1,000 bytes, wherever it lies."""
    slow = {**MIDDLE, "links": [*MIDDLE["links"][:-1],
            {"from": "left", "to": "right", "bandwidth": "500 MB/s"}]}  # fmt: skip
    assert arrivals(bench_of(4, **slow), ("n-0", "n-2", 0, 1_000)) == [("n-0", "n-2", 3_300)]


def test_an_adaptive_way_avoids_a_line() -> None:
    keys: dict[str, Any] = {
        "type": "fat_tree",
        "levels": 2,
        "arity": 4,
        "sharing": "fifo",
        "routing": "adaptive",
    }
    sends = ("n-0", "n-2", 0, 1_000), ("n-1", "n-3", 300, 1_000)
    assert [at for *_, at in arrivals(bench_of(4, **keys), *sends)] == [2_200, 2_500]
