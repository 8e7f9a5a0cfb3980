"""Hashed n-grams beside scikit-learn's, to the bit."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.feature_extraction.text import HashingVectorizer

from cluster.retrieval import ngrams
from cluster.retrieval.embedder import HASHING_NGRAMS, HashingEmbedder

# Each with what a text may hold: accents of both kinds, what is wider than it is long, white space.
LETTERS = st.sampled_from([*"aAb .,", *"\n\t\x1c\x85\xa0\u3000\u0301éßİ東😀ǅﬁ¨"]) | st.characters(
    codec="utf-8"
)


def scikits(texts: list[str], dim: int) -> bytes:
    vectorizer = HashingVectorizer(
        analyzer="char_wb",
        ngram_range=(HASHING_NGRAMS.start, HASHING_NGRAMS.stop - 1),
        n_features=dim,
        strip_accents="unicode",
        norm="l2",
        dtype=np.float32,
    )
    dense: bytes = vectorizer.transform(texts).toarray().tobytes()
    return dense


@given(st.lists(st.text(LETTERS, max_size=30), min_size=1, max_size=9), st.sampled_from([1, 7, 64]))
def test_vectors_are_scikit_learns(texts: list[str], dim: int) -> None:
    assert HashingEmbedder(dim).embed(texts).tobytes() == scikits(texts, dim)


@pytest.mark.parametrize(
    "texts", [[""], ["", " ", ""], ["a"], ["ab", ""], ["a" * 100_000], ["東京 " * 9_000]]
)
def test_short_long_and_empty_texts(texts: list[str]) -> None:
    assert HashingEmbedder().embed(texts).tobytes() == scikits(texts, 1024)


def test_the_hash_whose_size_is_no_int32_has_scikit_learns_place() -> None:
    """abs(-2**31) overflows; it stands for 2**31 - dim there."""
    buckets = ngrams.buckets(np.array([-(2**31), -5, 5, 2**31 - 1], np.int32), 1000)
    assert buckets.tolist() == [(2**31 - 1000) % 1000, 5, 5, (2**31 - 1) % 1000]
