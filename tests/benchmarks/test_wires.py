"""Ranks of the all-to-all benchmark run, and check what comes back."""

import math

import pytest

from benchmarks.wires.all_to_all import MPI_PYTHON, block, rows_of

pytestmark = pytest.mark.live


@pytest.mark.parametrize(("kind", "ranks"), [("int8", 2), ("int8", 4), ("bf16", 2), ("gloo", 2)])
def test_a_block_has_all_its_rounds(kind, ranks):
    taken = block(kind, ranks, 20, MPI_PYTHON)
    assert len(taken) == 20
    assert all(0 < each < 60_000_000_000 for each in taken)


def test_rows_say_what_was_asked():
    taken = {"int8": [9_000] * 3, "bf16": [9_500] * 3, "mpich": [18_000] * 3, "gloo": [200_000] * 3}
    two = {row.name: row for row in rows_of(2, taken, 0.5)}
    assert all(row.holds for row in two.values())
    assert math.isclose(float(two["ours beside MPICH, 2 ranks on 2 processors"].value), 0.5)
    slow = rows_of(2, taken | {"int8": [10_100] * 3}, 0.5)
    assert [row.bar for row in slow if not row.holds] == ["<= 10 us"]
    four = rows_of(4, taken | {"gloo": [179_000] * 3}, 0.5)
    assert [row.bar for row in four if not row.holds] == [">= 20"]
    del taken["mpich"]
    absent = [row for row in rows_of(4, taken, 0.5) if not row.holds]
    assert [row.value for row in absent] == ["not at hand"]
