"""Files become passages beside the event loop: a file may have millions of lines."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cluster.retrieval.passages import Passage, split_document
from workers.errors import InvalidRequest
from workers.node import Node

# 512 MiB of vectors of the hashing embedder: what this process holds while they are on their way.
PASSAGES_MAX = 1 << 17
# Splitting takes 0.1 us a character in prose, 2 where each is a line. ASSUMED, for how it queues.
OPERATIONS_PER_CHAR = 200


async def split(node: Node, documents: Sequence[tuple[str, NDArray[np.uint8]]]) -> list[Passage]:
    """Of (file id, text in UTF-8) each. Raises InvalidRequest for what is no text, or makes more
    passages than are held.
    """

    def passages() -> list[Passage]:
        return [
            passage
            for file_id, text in documents
            for passage in split_document(
                file_id, text.tobytes().decode(), passages_max=PASSAGES_MAX
            )
        ]

    num_bytes = sum(text.nbytes for _, text in documents)
    try:
        return await node.hardware.beside(num_bytes * OPERATIONS_PER_CHAR, passages)
    except ValueError as error:
        raise InvalidRequest(str(error), param="file_id") from error
