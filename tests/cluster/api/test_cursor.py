"""Pages go on after what has gone since it was listed."""

import pytest

from cluster.api import cursor
from cluster.api.cursor import Cursor, Places
from workers.errors import InvalidRequest


def test_what_is_gone_keeps_its_place() -> None:
    places = Places()
    places.see(["a", "b", "c", "d", "e"])
    left = ["a", "d", "f"]
    numbers = places.see(left)
    assert Cursor(9, after="c").window(left, numbers) == (["a"], False)
    assert Cursor(1, after="e").window(left, numbers) == (["d"], True)
    assert Cursor(9, newest_first=False, after="b").window(left, numbers) == (["d", "f"], False)
    assert Cursor(9, before="c").window(left, numbers) == (["f", "d"], False)
    assert Cursor(9, newest_first=False, before="b").window(left, numbers) == (["a"], False)
    # Of a list that shows some of them alone, too.
    assert Cursor(9, after="d").window(["a"], numbers) == (["a"], False)


@pytest.mark.parametrize("key", ["after", "before"])
def test_an_id_that_was_never_there_is_refused(key: str) -> None:
    places = Places()
    with pytest.raises(InvalidRequest, match=f"{key} is 'x': it must be an id from the list"):
        Cursor(9, **{key: "x"}).window(["a"], places.see(["a"]))  # type: ignore[arg-type]


def test_what_comes_again_is_new() -> None:
    places = Places()
    places.see(["a", "b", "c"])
    places.see(["b", "c"])
    there = ["b", "c", "a"]
    numbers = places.see(there)
    assert Cursor(9, after="a").window(there, numbers) == (["c", "b"], False)
    assert Cursor(9).window(there, places.see(there)) == (["a", "c", "b"], False)


def test_few_that_are_gone_are_kept_in_mind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cursor, "GONE_MAX", 2)
    places = Places()
    places.see(["a", "b", "c", "d"])
    numbers = places.see(["d"])
    assert sorted(numbers) == ["b", "c", "d"]


@pytest.mark.parametrize("newest_first", [True, False])
def test_all_are_deleted_a_page_at_a_time(newest_first: bool) -> None:
    places, there = Places(), [f"i{number}" for number in range(7)]
    after, deleted = None, []
    while True:
        page, has_more = Cursor(2, newest_first, after).window(there, places.see(there))
        for one in page:
            there.remove(one)
            deleted.append(one)
        if not has_more:
            break
        after = deleted[-1]
    assert there == [] and len(deleted) == 7
