"""Files of the shelf become documents that a cluster indexes."""

from collections.abc import Sequence

from cluster.api.cursor import Cursor
from cluster.gateway.desk import Desk
from cluster.gateway.files import StoredFile, text_of
from cluster.gateway.store_client import Document, FileInfo, StoreInfo
from cluster.gateway.store_request import Wanted
from workers.errors import NotFound

# Of decoding a byte and looking whether there is any text. ASSUMED, for how it queues.
OPERATIONS_PER_BYTE = 2


async def check_files(desk: Desk, wanted: Sequence[Wanted]) -> list[tuple[StoredFile, str]]:
    """Each with its text. Raises NotFound, or InvalidRequest for what is no text."""
    found: list[tuple[StoredFile, str]] = []
    for one in wanted:
        file = desk.shelf.get(one.file_id)
        found.append((file, await _text(desk, file)))
    return found


async def _text(desk: Desk, file: StoredFile) -> str:
    size = len(file.content) * OPERATIONS_PER_BYTE
    return await desk.aside.run(size, lambda: text_of(file))


async def attach(desk: Desk, store_id: str, wanted: Sequence[Wanted]) -> StoreInfo:
    """Begin to index them; what is indexed, or on its way, gets the attributes alone. Raises as
    `check_files`, InvalidRequest for such a one that is to be cut otherwise, and QueueFull; then
    none has begun.
    """
    found = await check_files(desk, wanted)
    for file, _ in found:  # it may have been deleted meanwhile
        desk.shelf.get(file.file_id)
    documents = [
        Document(file.file_id, file.filename, text, one.attributes, one.chunking)
        for (file, text), one in zip(found, wanted, strict=True)
    ]
    return await desk.client.begin_files(store_id, documents, desk.now_s())


async def find_file(desk: Desk, store_id: str, file_id: str) -> FileInfo:
    """Raises NotFound."""
    found, _ = await desk.client.files(store_id, Cursor(limit=1), [file_id])
    for file in found:
        return file
    text = f"no file {file_id!r:.80} in vector store {store_id!r:.80}"
    raise NotFound(text, param="file_id")
