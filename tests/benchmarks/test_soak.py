"""How a soak's clients read, and how its results add up; what they measure, the soak runs."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler

import pytest

from benchmarks.chaos import local, soak
from benchmarks.chaos.leaks import growth
from benchmarks.chaos.soaked import Totals, Unit, read, write
from benchmarks.chaos.streams import Case, Client, Tally
from tests.benchmarks.served import Quiet, served


def test_numbers_are_summed_the_most_stays_and_what_was_found_is_kept(tmp_path) -> None:
    totals = Totals()
    totals.add(Unit({"begun": 3, "most_memory": 1.1}, {"wrong": []}))
    totals.add(Unit({"begun": 4, "most_memory": 1.05}, {"wrong": ["a", "b"]}))
    path = tmp_path / "folder" / "soak.json"
    assert read(path) == {}
    write(path, {"local": totals})
    (found,) = read(path).values()
    assert found == totals and found.units == 2
    assert found.numbers == {"begun": 7, "most_memory": 1.1, "num_wrong": 2}
    assert found.found == {"wrong": ["a", "b"]}
    path.write_text("[]")
    with pytest.raises(ValueError, match="holds no results of a soak"):
        read(path)


def test_a_part_holds_when_all_of_it_is_done_and_nothing_was_found(tmp_path) -> None:
    part = soak.parts(tmp_path)["search"]
    totals = Totals()
    assert not soak.row("search", part, totals).holds, "nothing was done"
    for _ in range(part.units):
        assert not soak.row("search", part, totals).holds
        totals.add(Unit({"trials": 500}, {"broken": []}))
    assert soak.row("search", part, totals).holds
    totals.found["broken"].append("17")
    told = soak.row("search", part, totals)
    assert not told.holds and "17" in told.evidence


def test_each_bar_of_the_local_part_can_fail() -> None:
    right = local.Came(60.0, Tally(num_begun=20, num_finished=19), {"cut decode": 2})
    right.tally.errors["peer_dead"] += 1
    right.growth = {"memory": 1.1, "files": 1.0}
    assert all(row.holds for row in local.rows_of(right))
    assert "1 peer_dead" in " ".join(row.evidence for row in local.rows_of(right))
    wrong = local.Came(60.0, Tally(num_begun=20, num_finished=18), {"cut decode": 2})
    wrong.tally.never_ended.append("r: 3 characters")
    wrong.tally.wrong.append("r: 'a', not 'b'")
    wrong.growth = {"memory": 1.3, "files": 1.3}
    wrong.problems, wrong.left = ["router: a task"], ["process 5"]
    assert not any(row.holds for row in local.rows_of(wrong))


def test_growth_is_of_incarnations_that_are_in_both() -> None:
    first = {("a", 1): 100, ("b", 2): 100}
    assert growth(first, {("a", 1): 120, ("b", 3): 900}) == 1.2
    assert growth(first, {("b", 3): 900}) == 1.0


class _Breaks(Quiet, BaseHTTPRequestHandler):
    """Refuses, then breaks off within an event, then goes on behind the id that it is told."""

    seen: list[dict[str, str]]

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        seen = self.seen
        seen.append({key.lower(): value for key, value in self.headers.items()})
        if len(seen) == 1:
            self.send_response(503)
            self.send_header("retry-after", "0")
            self.send_header("content-length", "0")
            self.end_headers()
            return
        self.send_response(200)
        self.end_headers()
        events = [("1", "a"), ("2", "b"), ("3", "c")]
        if len(seen) == 2:
            self._tell(events[:2])
            self.wfile.write(b"id: 3\ndata: {")
            return
        begin = 1 + [place for place, _ in events].index(self.headers["last-event-id"])
        self._tell(events[begin:])
        self.wfile.write(b"data: [DONE]\n\n")

    def _tell(self, events: list[tuple[str, str]]) -> None:
        for place, text in events:
            said = json.dumps({"choices": [{"text": text}]})
            self.wfile.write(f"id: {place}\ndata: {said}\n\n".encode())


@pytest.fixture
def broken() -> Iterator[str]:
    _Breaks.seen = []
    with served(_Breaks) as url:
        yield url


@pytest.mark.live
@pytest.mark.parametrize(("text", "num_wrong"), [("abc", 0), ("abd", 1)])
def test_a_client_comes_back_and_goes_on_where_it_was(broken, text: str, num_wrong: int) -> None:
    tally, ends = Tally(), threading.Event()

    def url() -> str:
        if len(_Breaks.seen) >= 2:
            ends.set()  # no further request after this one
        return broken

    Client(0, url, [Case((5,), 3, text)], tally, seed=1).run(ends)
    assert (tally.num_begun, tally.num_finished, tally.num_refused, tally.num_resumed) == (
        1,
        1,
        1,
        1,
    )
    assert len(tally.wrong) == num_wrong and not tally.never_ended
    names = {seen["x-request-id"] for seen in _Breaks.seen}
    assert len(names) == 1 and [seen.get("last-event-id") for seen in _Breaks.seen] == [
        None,
        None,
        "2",
    ]
