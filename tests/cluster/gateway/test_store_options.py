"""What the official client may ask of vector stores beside the usual."""

import openai
import pytest

from tests.cluster.gateway.test_files_and_stores import run, upload

pytestmark = pytest.mark.live


def test_several_queries_find_each_passage_once():
    async def test(w):
        stores, store = w.openai.vector_stores, await w.openai.vector_stores.create(name="x")
        for content in (b"alpha", b"beta", b"alpha beta"):
            file = await upload(w, f"{content.decode()}.txt", content)
            await stores.files.create(store.id, file_id=file.id)
        found = stores.search(store.id, query=["alpha", "beta"])
        names = [hit.filename async for hit in found]
        assert names == ["alpha.txt", "alpha beta.txt", "beta.txt"]
        found = stores.search(store.id, query=["alpha", "beta"], max_num_results=2)
        assert [hit.filename async for hit in found] == names[:2]

    run(test)


def test_a_file_is_cut_as_it_is_asked():
    async def test(w):
        stores, store = w.openai.vector_stores, await w.openai.vector_stores.create(name="x")
        for strategy, right in (
            (openai.omit, None),
            ({"type": "auto"}, (0, 0)),
            ({"type": "static", "static": sizes(800, 400)}, (800, 400)),
            ({"type": "static", "static": {"max_chunk_size_tokens": 101}}, (101, 50)),
        ):
            file = await upload(w)
            told = await stores.files.create(store.id, file_id=file.id, chunking_strategy=strategy)
            assert w.router.documents[store.id][file.id].chunking == right
            shown = told.chunking_strategy
            assert shown.type == ("static" if right and right[0] else "other")
        file = await upload(w)
        made = await stores.create(file_ids=[file.id], chunking_strategy=strategy)
        assert w.router.documents[made.id][file.id].chunking == (101, 50)
        for wrong, what in (
            ({"type": "static"}, "chunking_strategy.static"),
            ({"type": "other"}, "'auto' or 'static'"),
            ({"type": "static", "static": sizes(99, 0)}, "between 100 and 4096"),
            ({"type": "static", "static": sizes(800, 401)}, "between 0 and 400"),
            ({"type": "static", "static": {**sizes(800, 400), "odd": 1}}, "odd"),
            ({"type": "auto", "static": sizes(800, 400)}, "chunking_strategy.static"),
        ):
            with pytest.raises(openai.BadRequestError, match=what):
                await stores.files.create(store.id, file_id=file.id, chunking_strategy=wrong)

    run(test)


def sizes(size: int, overlap: int) -> dict[str, int]:
    return {"max_chunk_size_tokens": size, "chunk_overlap_tokens": overlap}


def test_a_client_is_told_to_ask_again_soon():
    async def test(w):
        store, file = await w.openai.vector_stores.create(name="x"), await upload(w)
        where = f"/v1/vector_stores/{store.id}"
        batch = await w.http.post(f"{where}/file_batches", json={"file_ids": [file.id]})
        for path in (f"{where}/files/{file.id}", f"{where}/file_batches/{batch.json()['id']}"):
            assert (await w.http.get(path)).headers["openai-poll-after-ms"] == "100"

    run(test)


def test_a_store_has_the_index_that_it_is_asked_to_have():
    async def test(w):
        make = w.openai.vector_stores.create
        for index, right in (
            (None, {}),
            ({"kind": "exact"}, {"kind": "exact"}),
            ({"kind": "ivf_pq", "nlist": 100, "m": 48}, {"kind": "ivf_pq", "nlist": 100, "m": 48}),
        ):
            made = await make(extra_body={"index": index})
            assert w.router.indexes[made.id] == right
        for wrong, what in (
            ("ivf_pq", "index"),
            ({}, "index.kind"),
            ({"kind": "hnsw"}, "one of exact, ivf_flat, ivf_pq"),
            ({"kind": "exact", "nlist": 3}, "left out, or kind ivf_flat or ivf_pq"),
            ({"kind": "ivf_flat", "nlist": 0}, "between 1 and 65536"),
            ({"kind": "ivf_flat", "ef": 1}, "ef"),
        ):
            with pytest.raises(openai.BadRequestError, match=what):
                await make(extra_body={"index": wrong})

    run(test)
