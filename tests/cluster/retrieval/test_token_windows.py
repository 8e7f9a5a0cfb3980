"""Windows of tokens, with a tokenizer of words and with that of the shipped model."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.retrieval.token_windows import PIECE_CHARS, token_windows
from cluster.text.tokenizer import Tokenizer
from configs.perfuse_tiny import MODEL_DIR


def words(text: str) -> list[tuple[int, int]]:
    return [found.span() for found in re.finditer(r"\S+", text)]


def cut(text: str, size: int, overlap: int) -> list[str]:
    return [text[start:end] for start, end in token_windows(text, words, size, overlap)]


@pytest.mark.parametrize(
    ("text", "size", "overlap", "right"),
    [
        ("", 2, 1, []),
        ("a", 2, 1, ["a"]),
        ("a b", 2, 1, ["a b"]),
        ("a b c", 2, 1, ["a b", "b c"]),
        ("a b c d e", 2, 0, ["a b", "c d", "e"]),
        ("a b c d e f", 4, 2, ["a b c d", "c d e f"]),
        ("a b c d e f g", 4, 2, ["a b c d", "c d e f", "e f g"]),
    ],
)
def test_windows_by_hand(text: str, size: int, overlap: int, right: list[str]) -> None:
    assert cut(text, size, overlap) == right


@given(st.integers(1, 3 * PIECE_CHARS // 5), st.integers(1, 50), st.data())
def test_every_word_is_in_a_window_and_the_pieces_do_not_show(
    count: int, size: int, data: st.DataObject
) -> None:
    overlap = data.draw(st.integers(0, size - 1))
    text = " ".join(f"w{i}" for i in range(count))
    step, each = size - overlap, text.split()
    last = max(0, -(-(count - size) // step))
    right = [" ".join(each[i * step : i * step + size]) for i in range(last + 1)]
    assert cut(text, size, overlap) == right


@given(st.text(max_size=60))
def test_spans_of_the_shipped_tokenizer_are_of_its_tokens(text: str) -> None:
    tokenizer = Tokenizer.load(MODEL_DIR)
    spans = tokenizer.spans(text)
    assert len(spans) == len(tokenizer.encode(text))
    assert {i for start, end in spans for i in range(start, end)} == set(range(len(text)))
