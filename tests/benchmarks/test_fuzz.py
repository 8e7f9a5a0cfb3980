"""All that the fuzzers keep is asked again: accepted, or refused as the reader's page says. No
fuzzer is needed for that.
"""

import json
import time

import pytest

from benchmarks.fuzz import corpus
from benchmarks.fuzz.mutating import changed
from benchmarks.fuzz.target import Target, TooSlow, joined, pieces
from benchmarks.fuzz.targets import PLACES, load_target

# In base64, with its ends of lines.
CORPUS_BYTES_MAX = 200_000


@pytest.mark.parametrize("name", PLACES)
def test_every_input_that_is_kept_is_accepted_or_refused_by_name(name: str) -> None:
    target = load_target(name)
    seeds, kept = target.seeds(), corpus.kept(name)
    accepted = [target.accepts(data) for data in seeds]
    assert sum(accepted) > len(seeds) // 4, "what writes such bytes and what reads them agree"
    for data in kept:
        target.accepts(data)


def test_the_corpus_is_small_and_every_file_is_of_a_target() -> None:
    files = {path.stem: path.stat().st_size for path in corpus.FOLDER.iterdir()}
    assert set(files) <= set(PLACES)
    assert sum(files.values()) < CORPUS_BYTES_MAX


def _reader(data: bytes) -> None:
    if data == b"other":
        raise KeyError("other")
    if data == b"slow":
        end_s = time.process_time() + 0.2
        while time.process_time() < end_s:
            pass
    if not data.isdigit():
        raise ValueError("no digits")


def test_what_is_neither_accepted_nor_refused_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    target = Target("digits", _reader, (ValueError,), lambda: [b"1"])
    assert target.accepts(b"12") and not target.accepts(b"x")
    with pytest.raises(KeyError):
        target.accepts(b"other")
    monkeypatch.setattr("benchmarks.fuzz.target.CPU_S_MAX", 0.1)
    with pytest.raises(TooSlow, match="4 bytes took"):
        target.accepts(b"slow")


def test_what_is_kept_comes_back_once_and_the_shortest_stay(tmp_path) -> None:
    found = [bytes([number]) * number for number in range(1, 250, 31)]
    assert corpus.keep("x", [*found, found[0]], "a note", tmp_path) == len(found)
    assert corpus.keep("x", found, folder=tmp_path) == 0
    assert corpus.kept("x", tmp_path) == found
    assert corpus.kept("nobody", tmp_path) == []
    assert corpus.shortest([b"abc", b"a", b"bb"], 3) == [b"a", b"bb"]


def test_pieces_are_what_was_joined() -> None:
    parts = [b"", b"abc", bytes(300)]
    assert pieces(joined(parts)) == parts
    assert pieces(b"\xff\xffab") == [b"ab"]


def test_a_mutation_keeps_a_document_a_document() -> None:
    before = {"a": [1, {"b": "c"}], "d": None}
    data = b"\1" + json.dumps(before).encode() + b"\n"
    texts, differ = [], 0
    for seed in range(200):
        said = changed(data, ["word"], seed, 4096)
        assert said == changed(data, ["word"], seed, 4096), "the same seed, the same mutation"
        if said is not None:
            texts.append(said)
            assert len(said) <= 4096 and said[:1] == b"\1"
            differ += said != data
    assert len(texts) > 100 and differ > len(texts) // 2
    assert any(b"word" in said for said in texts)
    assert changed(b"\0plain text", [], 1, 4096) is None
    yaml = changed(b"\0a: {b: 1}\nc: [x]\n", ["word"], 3, 4096)
    assert yaml is not None and yaml[:1] == b"\0"
