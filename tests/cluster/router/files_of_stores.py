"""What tests of files of stores ask a world."""

from collections.abc import Sequence

from cluster.api.cursor import Cursor
from cluster.gateway.store_client import FileInfo
from cluster.worlds.virtual import VirtualWorld
from tests.cluster.router.test_stores_and_losses import wait

QUERY = "card costs coins"
OLDEST_FIRST = Cursor(100, newest_first=False)


async def files(
    world: VirtualWorld, store_id: str, file_ids: Sequence[str] = ()
) -> Sequence[FileInfo]:
    """Oldest first: all, or those of these that are there."""
    found, has_more = await world.client.files(store_id, OLDEST_FIRST, file_ids)
    assert not has_more
    return found


async def ended(world: VirtualWorld, store_id: str, file_id: str = "f1") -> FileInfo:
    """The file, when it is in progress no more."""
    for _ in range(1000):
        (file,) = await files(world, store_id, [file_id])
        if file.status != "in_progress":
            return file
        await wait(world, 10_000)
    raise AssertionError(f"{file_id} is in progress for ever")


async def found(world: VirtualWorld, store_id: str) -> list[str]:
    """Files of all that can be found."""
    hits = await world.client.search(store_id, QUERY, 100)
    return sorted({hit.file_id for hit in hits})
