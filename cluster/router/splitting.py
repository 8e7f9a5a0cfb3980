"""Files become passages beside the event loop: a file may have millions of lines."""

from collections.abc import Sequence

from cluster.retrieval.passages import Passage, split_document
from workers.errors import InvalidRequest
from workers.node import Node

# 512 MiB of vectors of the hashing embedder: what this process holds while they are on their way.
PASSAGES_MAX = 1 << 17
# Splitting takes 0.1 us a character in prose, 2 where each is a line. ASSUMED, for how it queues.
OPERATIONS_PER_CHAR = 200


async def split(node: Node, documents: Sequence[tuple[str, str, str]]) -> list[Passage]:
    """Of (file id, filename, text) each. Raises InvalidRequest for more passages than are held."""

    def passages() -> list[Passage]:
        return [
            passage
            for file_id, _, text in documents
            for passage in split_document(file_id, text, passages_max=PASSAGES_MAX)
        ]

    num_chars = sum(len(text) for _, _, text in documents)
    try:
        return await node.hardware.beside(num_chars * OPERATIONS_PER_CHAR, passages)
    except ValueError as error:
        raise InvalidRequest(str(error), param="file_id") from error
