"""Every change of behaviour shows: what the golden scenarios do is what is written down."""

import pytest

from tests.golden.difference import differences
from tests.golden.recording import TRACES, Recording
from tests.golden.scenarios import SCENARIOS


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_golden_scenario_does_what_it_did(name: str) -> None:
    changes = differences(Recording.read(name), Recording.of(name))
    if changes:
        pytest.fail(
            "\n".join([*changes, "meant to change? `make golden`, and say why in the commit"]),
            pytrace=False,
        )


def test_each_scenario_has_its_trace_and_no_trace_is_left_over() -> None:
    assert sorted(p.name for p in TRACES.iterdir()) == sorted(f"{n}.jsonl.xz" for n in SCENARIOS)


# -- what the comparison sees ----------------------------------------------------------------------

ROWS = (
    ("message", 10, "dispatch", "decode-0", "experts-0", 640, "r"),
    ("run", 20, "experts", "experts-0", 8),
    ("token", 30, "decode-0", "r", 0, 42),
    ("answer", "r", "length", "", [42]),
)


def changed(index: int, row: tuple) -> list[str]:
    rows = [*ROWS]
    rows[index] = row
    return differences(Recording(ROWS), Recording(tuple(rows)))


def test_nothing_changed() -> None:
    assert differences(Recording(ROWS), Recording(ROWS)) == []


@pytest.mark.parametrize(
    ("index", "row", "said"),
    [
        (0, (*ROWS[0][:5], 320, "r"), "message dispatch: 1 of 1 say something else"),
        (0, (ROWS[0][0], 12, *ROWS[0][2:]), "message dispatch: 1 of 1 moved by +2 to +2 ns"),
        (1, ("run", 20, "experts", "experts-0", 9), "run experts: 1 of 1 say something else"),
        (2, ("token", 30, "decode-0", "r", 0, 43), "token: 1 of 1 say something else"),
        (3, ("answer", "r", "error", "peer_dead", []), "answer: 1 of 1 say something else"),
    ],
)
def test_a_change_is_named_by_its_kind(index: int, row: tuple, said: str) -> None:
    lines = changed(index, row)
    assert lines[0] == said
    assert lines[1:] == [f"    - {ROWS[index]}", f"    + {row}"]


def test_a_missing_record_and_another_order_are_seen() -> None:
    assert differences(Recording(ROWS), Recording(ROWS[1:]))[0].startswith(
        "message dispatch: 1 records, now 0"
    )
    swapped = (ROWS[1], ROWS[0], *ROWS[2:])
    assert "in another order" in differences(Recording(ROWS), Recording(swapped))[0]
