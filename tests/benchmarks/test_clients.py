"""The bench of clients: what it lists, and what becomes of a client that does not end well."""

import json
from pathlib import Path

import pytest

from benchmarks.clients.__main__ import left_out
from benchmarks.clients.clients import CLIENTS, chosen, features_of
from benchmarks.clients.inside.child import Server, run
from benchmarks.clients.running import Outcome, outcomes_of
from benchmarks.clients.setup import VERSIONS
from benchmarks.clients.table import PAGE, TABLE, row, table
from benchmarks.verify import Finished

SERVER = Server("http://127.0.0.1:1/v1", "m", "", "", "")


def test_each_client_has_features_with_names_of_their_own_and_a_pinned_version() -> None:
    assert {client.name for client in CLIENTS} == set(VERSIONS)
    for client in CLIENTS:
        features = [feature for path in client.paths for feature in features_of(path)]
        assert len(features) == len(set(features)) > 1
        assert all("\n" not in feature and "|" not in feature for feature in features)
    assert all(one.count("==") == 1 for packages in VERSIONS.values() for one in packages)


def test_every_file_of_a_client_is_run() -> None:
    files = {path for client in CLIENTS for path in client.paths}
    inside = {path for path in next(iter(files)).parent.glob("*.py") if path.name != "child.py"}
    assert files == inside


def test_a_feature_works_where_it_raises_nothing() -> None:
    def fine(server: Server) -> None:
        """fine"""
        assert server.root == "http://127.0.0.1:1"

    async def broken(server: Server) -> None:
        """broken"""
        raise ValueError("no such thing")

    assert run(fine, SERVER)["why"] == ""
    told = run(broken, SERVER)
    assert told["feature"] == "broken" and "no such thing" in str(told["why"])


def test_what_a_client_did_not_come_to_is_a_failure_that_says_so() -> None:
    said = json.dumps({"versions": {}}) + "\n"
    said += json.dumps({"begins": "a"}) + "\n"
    said += json.dumps({"feature": "a", "why": "", "seconds": 0.1}) + "\n"
    said += json.dumps({"begins": "b"}) + "\n"
    a, b, c = outcomes_of(["a", "b", "c"], said, Finished(None, "", 600.0))
    assert (a.why, b.why, c.why) == ("", "stopped after 600 s", "not reached: stopped after 600 s")
    (lost,) = outcomes_of(["a"], "", Finished(1, "Trace\nImportError: x", 1.0))
    assert lost.why == "not reached: exit code 1: ImportError: x"


def test_a_client_that_is_not_there_does_not_hold() -> None:
    told = left_out(CLIENTS[0])
    assert told.value == "left out" and not told.holds
    with pytest.raises(ValueError, match="--only nobody: it must be one of openai, "):
        chosen(["nobody"])


def test_the_page_s_table_is_made_of_rows() -> None:
    rows = [row(client, Outcome("works", "", 1.0)) for client in CLIENTS]
    rows.append(row(CLIENTS[0], Outcome("does not", "404", 1.0)))
    first, *rest = table(rows).splitlines()[2:]
    name, version = CLIENTS[0].name, CLIENTS[0].version
    assert first == f"| {name} | {version} | works. **Not**: does not |"
    assert len(rest) == len(CLIENTS) - 1
    assert TABLE.search(Path(PAGE).read_text(encoding="utf-8"))
