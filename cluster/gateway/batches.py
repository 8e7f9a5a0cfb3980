"""Batches of files that were attached together. How their files are is the router's to say; which
they are is known here, in this process's memory, bounded.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from workers.errors import NotFound

BATCHES_MAX = 1024


@dataclass(slots=True)
class Batch:
    """`created_s` is Unix seconds."""

    batch_id: str
    store_id: str
    file_ids: tuple[str, ...]
    created_s: int
    is_cancelled: bool = False


class Batches:
    """The newest BATCHES_MAX; ids are `vsfb_{stem}-{count}`."""

    def __init__(self, stem: str) -> None:
        self._stem, self._count = stem, 0
        self._batches: dict[str, Batch] = {}

    def add(self, store_id: str, file_ids: Sequence[str], created_s: int) -> Batch:
        self._count += 1
        batch = Batch(f"vsfb_{self._stem}-{self._count}", store_id, tuple(file_ids), created_s)
        self._batches[batch.batch_id] = batch
        if len(self._batches) > BATCHES_MAX:
            del self._batches[next(iter(self._batches))]
        return batch

    def get(self, store_id: str, batch_id: str) -> Batch:
        """Raises NotFound."""
        batch = self._batches.get(batch_id)
        if batch is None or batch.store_id != store_id:
            text = f"no file batch {batch_id!r:.80} in vector store {store_id!r:.80}"
            raise NotFound(text, param="batch_id")
        return batch

    def drop_store(self, store_id: str) -> None:
        kept = (batch for batch in self._batches.values() if batch.store_id != store_id)
        self._batches = {batch.batch_id: batch for batch in kept}
