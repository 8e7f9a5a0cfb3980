"""Vector stores that go when nobody has used them for some days."""

import openai
import pytest

from cluster.gateway.expiry import DAY_S, Expiry
from tests.cluster.gateway.test_files_and_stores import run, upload

pytestmark = pytest.mark.live

THREE_DAYS = {"anchor": "last_active_at", "days": 3}


def test_a_store_has_its_days_from_its_last_use_on() -> None:
    expiry = Expiry()
    expiry.give("a", 1, 100)
    expiry.give("b", 2, 100)
    expiry.used("a", 200)
    expiry.used("c", 200)
    assert expiry.due(199 + DAY_S) == []
    assert expiry.due(200 + DAY_S) == ["a"]
    expiry.drop("a")
    expiry.drop("a")
    assert expiry.due(200 + 2 * DAY_S) == ["b"] and expiry.get("a") is None


def test_a_store_that_is_due_is_seen_by_nobody():
    async def test(w):
        stores, now_s = w.openai.vector_stores, [1_000_000.0]
        w.server.desk._now_s = lambda: now_s[0]
        file = await upload(w)
        kept = await stores.create(name="kept")
        used = await stores.create(name="used", expires_after=THREE_DAYS)
        left = await stores.create(name="left", file_ids=[file.id])
        left = await stores.update(left.id, expires_after=THREE_DAYS)
        assert (left.expires_after.days, left.expires_at) == (3, 1_000_000 + 3 * DAY_S)
        batch = await stores.file_batches.create(left.id, file_ids=[file.id])
        now_s[0] += 2 * DAY_S
        retrieval = {"store": used.id, "top_k": 1}
        assert (await w.chat(retrieval=retrieval)).status_code == 200
        now_s[0] += DAY_S
        assert [s.name async for s in stores.list()] == ["used", "kept"]
        for gone in (
            lambda: stores.retrieve(left.id),
            lambda: stores.search(left.id, query="alpha"),
            lambda: stores.files.create(left.id, file_id=file.id),
            lambda: stores.file_batches.retrieve(batch.id, vector_store_id=left.id),
        ):
            with pytest.raises(openai.NotFoundError):
                await gone()
        assert list(w.router.infos) == [kept.id, used.id]
        used = await stores.retrieve(used.id)
        assert used.last_active_at == 1_000_000 + 3 * DAY_S
        await stores.delete(used.id)
        now_s[0] += 9 * DAY_S
        assert [s.name async for s in stores.list()] == ["kept"]

    run(test)


def test_what_is_no_such_time_is_refused():
    async def test(w):
        for wrong, what in (
            ({"anchor": "created_at", "days": 1}, "expires_after.anchor"),
            ({"anchor": "last_active_at"}, "expires_after.days is missing"),
            ({"anchor": "last_active_at", "days": 0}, "between 1 and 365"),
            ({"anchor": "last_active_at", "days": 366}, "between 1 and 365"),
            ({"anchor": "last_active_at", "days": 1, "odd": 1}, "expires_after.odd"),
            (3, "must be a JSON object"),
        ):
            with pytest.raises(openai.BadRequestError, match=what):
                await w.openai.vector_stores.create(expires_after=wrong)
        assert w.router.infos == {}

    run(test)
