"""Splitting loses nothing: passages are spans of their document and cover all its words."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.retrieval import passages as passages_of
from cluster.retrieval.passages import RECORD_CHARS_MAX, split_document
from configs.perfuse_tiny import CORPUS_DIR, load_corpus

# Prose, records and nonsense alike: words, sentence ends, all kinds of line ends and blank lines.
PIECES = st.sampled_from(
    ["word", "Word", "x" * 90, ". ", "! ", " ", "  ", "\n", "\n\n", "\r\n", "\t", "\u2028", "é。"]
)
TEXTS = st.one_of(st.text(max_size=200), st.lists(PIECES, max_size=150).map("".join))


@given(TEXTS, st.integers(1, 200), st.integers(0, 199))
def test_every_character_but_white_space_is_in_a_passage(text: str, chars: int, overlap: int):
    passages = split_document("f", text, chars, min(overlap, chars - 1))
    covered = bytearray(len(text))
    for passage in passages:
        assert passage.text == text[passage.start : passage.end]
        assert passage.text == passage.text.strip() != ""
        covered[passage.start : passage.end] = b"\1" * (passage.end - passage.start)
    assert all(covered[i] or text[i].isspace() for i in range(len(text)))


@given(TEXTS, st.integers(1, 9))
def test_looking_at_a_text_in_pieces_changes_nothing(text: str, piece_chars: int):
    whole = split_document("f", text, 20, 5)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passages_of, "PIECE_CHARS", piece_chars)
        assert split_document("f", text, 20, 5) == whole


def test_more_passages_than_are_wanted_are_refused():
    assert len(split_document("f", "A\n" * 9, passages_max=9)) == 9
    with pytest.raises(ValueError, match="more than 9 passages"):
        split_document("f", "A\n" * 10, passages_max=9)


@given(TEXTS, st.integers(1, 200), st.integers(0, 199))
def test_passages_advance_and_stay_within_their_size(text: str, chars: int, overlap: int):
    passages = split_document("f", text, chars, min(overlap, chars - 1))
    assert all(len(p.text) <= max(chars, RECORD_CHARS_MAX) for p in passages)
    starts = [p.start for p in passages]
    ends = [p.end for p in passages]
    assert starts == sorted(set(starts))
    assert ends == sorted(set(ends))
    assert passages == split_document("f", text, chars, min(overlap, chars - 1))


def test_records_give_one_passage_a_line():
    text = "The Vextal-7 has 4 GB.\n\n  The Norbel-2 is red.\r\nlatency: 12 ns\n"
    assert [p.text for p in split_document("f", text)] == [
        "The Vextal-7 has 4 GB.",
        "The Norbel-2 is red.",
        "latency: 12 ns",
    ]


def test_the_shipped_corpus_splits_into_its_cards():
    texts = [
        passage.text
        for path in sorted(CORPUS_DIR.glob("*.txt"))
        for passage in split_document(path.name, path.read_text(encoding="utf-8"))
    ]
    assert texts == load_corpus()


def test_wrapped_prose_gives_one_passage_a_paragraph():
    text = "Memory is far and\nlinks are slow, so the\nbytes wait.\n\nCompute is near and\nidle.\n"
    assert [p.text.split()[0] for p in split_document("f", text)] == ["Memory", "Compute"]


def test_long_paragraphs_overlap_by_whole_sentences():
    text = " ".join(f"Sentence number {i:02d} is here." for i in range(40))
    passages = split_document("f", text, passage_chars=200, overlap_chars=60)
    assert len(passages) > 5
    for before, after in pairwise(passages):
        repeated = before.end - after.start
        assert 0 < repeated <= 60
        assert after.text.startswith("Sentence")


@pytest.mark.parametrize(("chars", "overlap"), [(0, 0), (10, 10), (10, -1)])
def test_an_impossible_overlap_is_refused(chars: int, overlap: int):
    with pytest.raises(ValueError, match="overlap_chars"):
        split_document("f", "text", chars, overlap)
