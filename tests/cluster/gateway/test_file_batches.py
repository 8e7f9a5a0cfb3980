"""Files that are attached together, through the official client, before a scripted cluster."""

import openai
import pytest

from tests.cluster.gateway.test_files_and_stores import run, upload

pytestmark = pytest.mark.live


def test_batches_are_polled_listed_and_cancelled():
    async def test(w):
        stores, batches = w.openai.vector_stores, w.openai.vector_stores.file_batches
        store = await stores.create(name="x")
        files = [await upload(w, f"{i}.txt", b"alpha %d" % i) for i in range(4)]
        ids = [file.id for file in files]
        batch = await batches.create_and_poll(store.id, file_ids=ids[:2])
        assert (batch.status, batch.file_counts.completed, batch.object) == (
            "completed",
            2,
            "vector_store.files_batch",
        )
        w.router.status = "in_progress"
        own = [{"file_id": name, "attributes": {"part": i}} for i, name in enumerate(ids)]
        batch = await batches.create(store.id, files=own)
        counts = batch.file_counts
        assert (batch.status, counts.in_progress, counts.completed) == ("in_progress", 2, 2)
        w.router.finish(store.id, ids[2])
        batch = await batches.cancel(batch.id, vector_store_id=store.id)
        counts = batch.file_counts
        assert (batch.status, counts.cancelled, counts.completed) == ("cancelled", 1, 3)
        again = await batches.retrieve(batch.id, vector_store_id=store.id)
        assert again == batch
        listed = batches.list_files(batch.id, vector_store_id=store.id, order="asc", limit=3)
        shown = [(f.id, f.attributes) async for f in listed]
        # What was there has the attributes that were given last.
        assert shown == [(name, {"part": i}) for i, name in enumerate(ids)]
        listed = batches.list_files(batch.id, vector_store_id=store.id, filter="cancelled")
        assert [f.id async for f in listed] == [ids[3]]
        w.router.finish(store.id, ids[3], "failed", "server_error", "no")
        failed = await batches.create(store.id, file_ids=[ids[3]])
        w.router.finish(store.id, ids[3], "failed", "server_error", "no")
        failed = await batches.retrieve(failed.id, vector_store_id=store.id)
        assert (failed.status, failed.file_counts.failed) == ("failed", 1)
        await stores.delete(store.id)
        with pytest.raises(openai.NotFoundError):
            await batches.retrieve(batch.id, vector_store_id=store.id)

    run(test)


def test_a_batch_begins_whole_or_not_at_all():
    async def test(w):
        store = await w.openai.vector_stores.create(name="x")
        good, bad = await upload(w), await upload(w, "b.bin", b"\xff\xfe\x00")
        batches = w.openai.vector_stores.file_batches
        for wrong, error in (
            ({"file_ids": [good.id, bad.id]}, openai.BadRequestError),
            ({"file_ids": [good.id, "file-no"]}, openai.NotFoundError),
            ({"file_ids": []}, openai.BadRequestError),
            ({"files": [{"file_id": good.id, "odd": 1}]}, openai.BadRequestError),
            ({"files": [{"file_id": good.id}], "file_ids": [good.id]}, openai.BadRequestError),
            ({"file_ids": [good.id], "attributes": {"a": [1]}}, openai.BadRequestError),
        ):
            with pytest.raises(error):
                await batches.create(store.id, **wrong)
        assert w.router.num_added == 0

    run(test)
