"""Which trials a search runs, and what it says of what they reached."""

from collections.abc import Iterable

import pytest

from cluster.chaos.coverage import Coverage
from cluster.chaos.drawing import SEEDS_A_SHAPE
from cluster.chaos.kinds import IMPOSSIBLE, KINDS
from cluster.chaos.mutating import CELLS
from cluster.chaos.points import LATER, POINTS, point_of, word_of
from cluster.chaos.search import Found, search
from cluster.chaos.timeline import Bar, bars, picture
from cluster.chaos.trial import Seen
from cluster.faults.words import kind_words


class Names:
    """A runner that keeps what it was asked for; every name reaches something of its own."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.reach = frozenset[tuple[str, str]]()

    def __call__(self, parts: Iterable[list[str]]) -> Iterable[list[Seen]]:
        for part in parts:
            self.names += part
            yield [self._seen(name) for name in part]

    def _seen(self, name: str) -> Seen:
        broken = ["once: x"] if name == "7" else []
        cells = {("drop", "moved"): 1}
        if "x" in name:
            cells[aimed_at(name)] = 1
        return Seen(name, broken, features={name}, cells=cells, reach=self.reach)


def aimed_at(name: str) -> tuple[str, str]:
    return CELLS[int(name.rsplit("x", 1)[1].split(".")[0])]


def searched(num_trials: int, first: int = 0) -> tuple[Names, Found]:
    names = Names()
    return names, search(names, first, num_trials, 60.0, 1, lambda found: None)


def test_a_search_is_the_same_again() -> None:
    names, found = searched(200)
    assert names.names == searched(200)[0].names
    assert len(names.names) == found.num_trials == 200
    assert [seen.name for seen in found.failures] == ["7"]


def test_after_fresh_seeds_come_mutants_of_what_was_new() -> None:
    names = searched(64)[0].names
    assert sorted(names[:32], key=int) == [str(seed) for seed in range(32)]
    second = names[32:]
    assert sorted(int(name) for name in second if "." not in name) == list(range(32, 48))
    mutants = [name for name in second if "." in name]
    assert len(mutants) == 16
    assert all(name.split(".")[0] in names[:32] for name in mutants)


def test_a_search_strikes_where_no_fault_struck_yet() -> None:
    """Everybody could meet one cell, that nobody meets until it is aimed at: no other is tried."""
    names = Names()
    names.reach = frozenset({("crash", "moved"), ("drop", "moved")})
    search(names, 0, 128, 60.0, 1, lambda found: None)
    aimed = [name for name in names.names if "x" in name]
    assert aimed
    assert {aimed_at(name) for name in aimed} == {("crash", "moved")}
    fresh = [name for name in names.names[-16:] if name.count(".") == 1]
    assert not any("x" in name for name in fresh), "it was met"


def test_who_cannot_be_met_is_told_apart() -> None:
    coverage = Coverage()
    coverage.add(Seen("8.1", reach=frozenset({("crash", "moved")})))
    assert coverage.wanted() == [(("crash", "moved"), ["8"])]
    assert ("crash", "moved") in coverage.empty()
    assert ("crash", "moved") not in coverage.out_of_reach()
    assert ("drop", "moved") in coverage.out_of_reach()


def test_no_round_begins_after_the_budget() -> None:
    assert search(Names(), 0, 100, 0.0, 1, lambda found: None).num_trials == 0


def test_who_has_enough_gets_what_was_found_by_then() -> None:
    asked = iter([False, False, True])
    found = search(Names(), 0, 200, 60.0, 1, lambda found: None, has_ended=lambda: next(asked))
    assert found.num_trials == 3 * SEEDS_A_SHAPE and found.took_s > 0


def test_what_is_new_is_kept() -> None:
    coverage = Coverage()
    assert coverage.add(Seen("1", features={"a", "b"}, cells={("drop", "moved"): 2}))
    assert not coverage.add(Seen("2", features={"b"}, cells={("drop", "moved"): 1}))
    assert coverage.corpus == ["1"]
    assert dict(coverage.rows())["drop"][POINTS.index("moved")] == "3"
    assert len(coverage.empty()) == len(KINDS) * len(POINTS) - 1 - len(IMPOSSIBLE)


@pytest.mark.parametrize(
    ("kind", "asked", "point"),
    [
        ("kv_blocks", "", "in flight"),
        ("start", "", "moved"),
        ("reply", "start", "notified"),
        ("reply", "kv_blocks", "in flight"),
        ("chip_state", "", ""),
        ("reply", "", ""),
    ],
)
def test_points(kind: str, asked: str, point: str) -> None:
    assert point_of(word_of(kind, asked)) == point


def test_points_know_kinds_that_are() -> None:
    from cluster.chaos.points import _KINDS

    known = [kind for kinds in _KINDS.values() for kind in kinds]
    assert {*known, *LATER} <= {*kind_words(), "stretch"}
    assert [*_KINDS] == [point for point in POINTS if point != "notified"]


def test_a_picture_shows_what_began_and_ended() -> None:
    marks = [
        (10, 0, "f0", "drop begins"), (30, 0, "f0", "drop ends"), (20, 1, "chip-0", "dies"),
        (5, 2, "r0", "asked"), (40, 2, "r0", "peer_dead"), (35, 0, "all", "healed"),
    ]  # fmt: skip
    seen = Seen("3", ["once: <r0>"], marks=marks)
    assert bars(seen) == [
        Bar(0, "f0", "drop", 10, 30), Bar(1, "chip-0", "dies", 20, None),
        Bar(2, "r0", "peer_dead", 5, 40),
    ]  # fmt: skip
    text = picture(seen)
    assert text.startswith("<svg") and text.count("<rect") == 3 and "once: &lt;r0&gt;" in text


def test_who_wants_one_failure_gets_the_first() -> None:
    found = search(Names(), 0, 200, 60.0, 1, lambda found: None, until_broken=True)
    assert [seen.name for seen in found.failures] == ["7"]
    assert found.num_trials == SEEDS_A_SHAPE
