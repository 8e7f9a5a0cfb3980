"""/v1/vector_stores: stores, the files in them, and search.

Indexing is done when the answer comes, so a file is "in_progress" only to others who look
meanwhile.
"""

from contextlib import suppress
from typing import Any

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from cluster.gateway.client import Document, SearchHit, StoreInfo
from cluster.gateway.desk import Desk
from cluster.gateway.fields import Fields
from cluster.gateway.files import Attachment, text_of
from cluster.gateway.http.body import OPERATIONS_PER_BYTE, json_of, read_body
from cluster.gateway.http.inference import json_response
from cluster.gateway.listing import page
from cluster.gateway.retrieval_request import TOP_K_MAX
from workers.errors import NotFound, PerfuseError

# What these would do is not done; an empty one asks for nothing.
_STORE_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "metadata": ({},),
    "description": ("",),
    "attributes": ({},),
    "chunking_strategy": ({"type": "auto"},),
}
_SEARCH_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "rewrite_query": (False,),
    "ranking_options": ({}, {"ranker": "auto"}),
}


def add_store_routes(app: FastAPI, desk: Desk) -> None:
    _add_stores(app, desk)
    _add_store_files(app, desk)

    @app.post("/v1/vector_stores/{store_id}/search")
    async def search(store_id: str, request: Request) -> Response:
        fields = await _read(request, desk)
        query = fields.take("query")
        if isinstance(query, list) and len(query) == 1:
            query = query[0]
        if not isinstance(query, str) or not query.strip():
            raise fields.wrong("query", query, "a non-empty string")
        top_k = fields.integer("max_num_results", 10, 1, TOP_K_MAX) or 10
        fields.refuse_rest(frozenset(), _SEARCH_NEUTRAL)
        hits = await desk.client.search(store_id, query, top_k)
        return json_response(
            {
                "object": "vector_store.search_results.page",
                "search_query": [query],
                "data": [_hit(hit) for hit in hits],
                "has_more": False,
                "next_page": None,
            }
        )


def _add_stores(app: FastAPI, desk: Desk) -> None:
    @app.post("/v1/vector_stores")
    async def create(request: Request) -> Response:
        fields = await _read(request, desk)
        name = fields.string("name", "")
        file_ids = fields.take("file_ids") or []
        if not isinstance(file_ids, list) or not all(isinstance(f, str) for f in file_ids):
            raise fields.wrong("file_ids", file_ids, "a list of file ids")
        fields.refuse_rest(frozenset(), _STORE_NEUTRAL)
        for file_id in file_ids:  # before anything is created
            text_of(desk.shelf.get(file_id))
        store = await desk.client.create_store(name)
        try:
            for file_id in file_ids:
                await _attach(desk, store.store_id, file_id)
        except BaseException:
            desk.attachments.drop_store(store.store_id)
            with suppress(PerfuseError):  # what is told is why it failed
                await desk.client.delete_store(store.store_id)
            raise
        if file_ids:
            store = await _find(desk, store.store_id)
        return json_response(_shown(store, desk.started_s))

    @app.get("/v1/vector_stores")
    async def list_stores(request: Request) -> Response:
        stores = [_shown(store, desk.started_s) for store in await desk.client.stores()]
        return json_response(page(stores, request.query_params))

    @app.get("/v1/vector_stores/{store_id}")
    async def get_store(store_id: str) -> Response:
        return json_response(_shown(await _find(desk, store_id), desk.started_s))

    @app.delete("/v1/vector_stores/{store_id}")
    async def delete_store(store_id: str) -> Response:
        await desk.client.delete_store(store_id)
        desk.attachments.drop_store(store_id)
        return json_response({"id": store_id, "object": "vector_store.deleted", "deleted": True})


def _add_store_files(app: FastAPI, desk: Desk) -> None:
    @app.post("/v1/vector_stores/{store_id}/files")
    async def attach(store_id: str, request: Request) -> Response:
        fields = await _read(request, desk)
        file_id = fields.string("file_id")
        fields.refuse_rest(frozenset(), _STORE_NEUTRAL)
        await _attach(desk, store_id, file_id)
        return json_response(_shown_file(desk.attachments.get(store_id, file_id)))

    @app.get("/v1/vector_stores/{store_id}/files")
    async def list_attached(store_id: str, request: Request) -> Response:
        await _find(desk, store_id)
        query = dict(request.query_params)
        status = query.pop("filter", None)
        files = [_shown_file(a) for a in desk.attachments.of(store_id)]
        return json_response(page([f for f in files if status in (None, f["status"])], query))

    @app.get("/v1/vector_stores/{store_id}/files/{file_id}")
    async def get_attached(store_id: str, file_id: str) -> Response:
        return json_response(_shown_file(desk.attachments.get(store_id, file_id)))


async def _attach(desk: Desk, store_id: str, file_id: str) -> None:
    """Index a file, once. Raises NotFound and InvalidRequest, and then nothing has changed."""
    file = desk.shelf.get(file_id)
    document = Document(file.file_id, file.filename, text_of(file))
    if desk.attachments.begin(store_id, file, desk.now_s()) is None:
        return
    try:
        await desk.client.add_documents(store_id, [document])
    except BaseException:
        desk.attachments.abandon(store_id, file_id)
        raise
    desk.attachments.finish(store_id, file_id)


async def _find(desk: Desk, store_id: str) -> StoreInfo:
    for store in await desk.client.stores():
        if store.store_id == store_id:
            return store
    raise NotFound(f"no vector store {store_id!r:.80}", param="vector_store_id")


async def _read(request: Request, desk: Desk) -> Fields:
    limits = desk.settings
    raw = await read_body(request, limits.max_body_bytes, limits.body_timeout_s)
    size = len(raw) * OPERATIONS_PER_BYTE
    return await desk.aside.run(size, lambda: Fields(json_of(raw)))


def _shown(store: StoreInfo, default_s: int) -> dict[str, Any]:
    num = store.num_files
    return {
        "id": store.store_id,
        "object": "vector_store",
        "created_at": store.created_s or default_s,
        "name": store.name,
        "usage_bytes": store.usage_bytes,
        "file_counts": {
            "in_progress": 0,
            "completed": num,
            "failed": 0,
            "cancelled": 0,
            "total": num,
        },
        "num_passages": store.num_passages,
        "status": "completed",
        "last_active_at": None,
        "metadata": {},
    }


def _shown_file(attachment: Attachment) -> dict[str, Any]:
    return {
        "id": attachment.file_id,
        "object": "vector_store.file",
        "created_at": attachment.created_s,
        "vector_store_id": attachment.store_id,
        "status": "completed" if attachment.indexed else "in_progress",
        "usage_bytes": attachment.num_bytes,
        "last_error": None,
        "attributes": {},
    }


def _hit(hit: SearchHit) -> dict[str, Any]:
    return {
        "file_id": hit.file_id,
        "filename": hit.filename,
        "score": hit.score,
        "attributes": {},
        "content": [{"type": "text", "text": hit.text}],
        "passage_id": hit.passage_id,
    }
