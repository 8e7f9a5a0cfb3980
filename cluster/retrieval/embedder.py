"""Texts become vectors.

An embedder's name stands in the manifest of every index that it made: vectors of different
embedders are not comparable, so a change that moves any vector needs a new name.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from cluster.retrieval.ngrams import counts
from workers.hardware.machine import SCALAR
from workers.hardware.work import Demand, Work

# Chosen by measurement on the shipped corpus (2200 cards, 480 questions), recall@1 / recall@3 in %:
#   char_wb 3-5:  512 dims 99.4 / 100    1024 dims 99.6 / 100    2048 dims 99.6 / 100
#   char_wb 2-4:  512 dims 97.1 / 99.6   char 3-5: 1024 dims 90.6 / 99.4
# 1024 leaves room for collections with more distinct words; a passage then costs 4 KiB of its tier.
HASHING_DIM = 1024
HASHING_NGRAMS = range(3, 6)
# Assumed: MurmurHash3 of 3 to 5 bytes takes some 30 integer operations, finding the n-gram and
# adding to its bucket some 10 more, in compiled code.
OPERATIONS_PER_NGRAM = 40
# So many that what numpy does for each call is little, and what they make fits a cache.
TEXTS_AT_ONCE = 64


class Embedder(Protocol):
    """Maps texts to vectors whose inner product is their similarity.

    The same text gives the same bits in every process and in every batch; that is what lets an
    index be built here and searched there.
    """

    @property
    def name(self) -> str: ...

    @property
    def dim(self) -> int: ...

    @property
    def tokens_max(self) -> int:
        """What follows a text's first so many tokens is not seen; 0: all is."""
        ...

    def num_tokens(self, text: str) -> int:
        """Tokens as this embedder sees them, those that are not seen included."""
        ...

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """[len(texts), dim] float32; rows of length 1, or 0 where a text has nothing to embed."""
        ...

    def work(self, texts: Sequence[str]) -> Work:
        """What `embed` asks of the machine on which it runs."""
        ...


class HashingEmbedder:
    """Hashed character n-grams within words: no model, no download, no state.

    `dim` is the number of hash buckets. Letters lose case and accents first. Its tokens are words.
    """

    tokens_max = 0

    def __init__(self, dim: int = HASHING_DIM) -> None:
        if dim < 1:
            raise ValueError(f"dim is {dim}: the hashing embedder needs at least 1 bucket")
        self.dim = dim
        self.name = "hashing" if dim == HASHING_DIM else f"hashing-{dim}"

    def num_tokens(self, text: str) -> int:
        """See Embedder."""
        return len(text.split())

    def work(self, texts: Sequence[str]) -> Work:
        """See Embedder: one hash and one addition for each n-gram that begins at a byte."""
        num_bytes = sum(len(text.encode()) for text in texts)
        operations = num_bytes * len(HASHING_NGRAMS) * OPERATIONS_PER_NGRAM
        return Work("embed", (Demand(SCALAR, operations),))

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """See Embedder."""
        vectors = np.empty((len(texts), self.dim), np.float32)
        for start in range(0, len(texts), TEXTS_AT_ONCE):
            counted = counts(texts[start : start + TEXTS_AT_ONCE], self.dim, HASHING_NGRAMS)
            norms = np.sqrt(np.einsum("td,td->t", counted, counted))
            norms[norms == 0] = 1
            vectors[start : start + len(counted)] = counted / norms[:, None]
        return vectors


def _minilm() -> Embedder:
    from cluster.retrieval.minilm import MinilmEmbedder

    return MinilmEmbedder()


_MAKERS: dict[str, Callable[[], Embedder]] = {"hashing": HashingEmbedder, "minilm": _minilm}
EMBEDDERS = tuple(_MAKERS)


def make_embedder(name: str) -> Embedder:
    """The embedder of that name: one of EMBEDDERS, or "hashing-DIM" for another number of buckets.

    Raises ValueError for an unknown name, ImportError where the embedder's extra is not installed.
    """
    if name in _MAKERS:
        return _MAKERS[name]()
    family, _, dim = name.partition("-")
    if family == "hashing" and dim.isdecimal():
        return HashingEmbedder(int(dim))
    raise ValueError(
        f"embedder is {name!r}: it must be one of {', '.join(EMBEDDERS)} or hashing-DIM"
    )
