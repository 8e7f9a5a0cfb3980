"""Brute force beside itself, and the rows of few cases."""

from fractions import Fraction

from benchmarks.network import incast, sharing
from benchmarks.network.sharing import Wanted, ends_by_force, shares, way


def test_brute_force_by_hand() -> None:
    """a of 1 and b of 3 bytes a ns: x over both, y over b alone. x has all of a, 1; y the other 2.
    100 and 400 bytes: x ends at 100; y has had 200, and 200 more at 3: 167.
    """
    rates = {"a": 10**9, "b": 3 * 10**9}
    wanted = [Wanted(0, 100, ("a", "b"), 1), Wanted(0, 400, ("b",), 1)]
    assert shares(wanted, rates) == [Fraction(1), Fraction(2)]
    assert ends_by_force(wanted, rates) == [100, 167]


def test_weights_by_hand() -> None:
    """50 alone; 250 at 3/4: 333.3, so until 384, when the other has had 334 / 4 = 83.5; then 216.5
    alone: 600.5.
    """
    wanted = [Wanted(0, 300, ("a",), 3), Wanted(50, 300, ("a",), 1)]
    assert ends_by_force(wanted, {"a": 10**9}) == [384, 601]


def test_a_way_is_a_shortest_one() -> None:
    assert way([(0, 1), (1, 2), (2, 3), (0, 3)], 0, 3) == ("0>3",)
    assert way([(0, 1), (1, 2), (2, 3)], 0, 3) == ("0>1", "1>2", "2>3")


def test_few_cases_hold() -> None:
    assert [row.name for row in sharing.rows(6) if not row.holds] == []
    rows = list(incast.rows())
    assert len(rows) == 4 and all(row.holds for row in rows)
