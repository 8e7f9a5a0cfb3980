"""Files become passages beside the event loop: a file may have millions of lines."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cluster.retrieval.passages import Passage, passages_of, split_document
from cluster.retrieval.token_windows import token_windows
from cluster.text.tokenizer import Tokenizer
from workers.errors import InvalidRequest
from workers.node import Node

# 512 MiB of vectors of the hashing embedder: what this process holds while they are on their way.
PASSAGES_MAX = 1 << 17
# Splitting takes 0.1 us a character in prose, 2 where each is a line, 0.5 where tokens are counted.
# ASSUMED, for how it queues.
OPERATIONS_PER_CHAR = 200


@dataclass(frozen=True, slots=True)
class Whole:
    """A document; `text` is UTF-8.

    chunk_tokens, chunk_overlap   of each passage; 0: by lines and paragraphs
    """

    file_id: str
    text: NDArray[np.uint8]
    chunk_tokens: int
    chunk_overlap: int


async def split(node: Node, tokenizer: Tokenizer, documents: Sequence[Whole]) -> list[Passage]:
    """In order. Raises InvalidRequest for what is no text, or makes more passages than are held."""

    def of(document: Whole) -> list[Passage]:
        text, size = document.text.tobytes().decode(), document.chunk_tokens
        if not size:
            return split_document(document.file_id, text, passages_max=PASSAGES_MAX)
        windows = token_windows(text, tokenizer.spans, size, document.chunk_overlap)
        return passages_of(document.file_id, text, windows, PASSAGES_MAX)

    def passages() -> list[Passage]:
        return [passage for document in documents for passage in of(document)]

    size = sum(one.text.nbytes * OPERATIONS_PER_CHAR for one in documents)
    try:
        return await node.hardware.beside(size, passages)
    except ValueError as error:
        raise InvalidRequest(str(error), param="file_id") from error
