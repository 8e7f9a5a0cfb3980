"""/v1/vector_stores: stores, and search. Their files are `store_files`."""

from contextlib import suppress
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from cluster.gateway.attaching import attach, check_files
from cluster.gateway.desk import Desk
from cluster.gateway.http.body import read_fields
from cluster.gateway.http.inference import json_response
from cluster.gateway.listing import OF_STORES, page
from cluster.gateway.store_client import SearchHit, StoreInfo
from cluster.gateway.store_form import found_shown, store_shown
from cluster.gateway.store_request import (
    STORE_NEUTRAL,
    Asked,
    Wanted,
    read_chunking,
    read_expiry,
    read_file_ids,
    read_index,
    read_metadata,
    read_search,
)
from workers.errors import NotFound, PerfuseError


def add_store_routes(app: APIRouter, desk: Desk) -> None:
    _add_making(app, desk)

    @app.get("/v1/vector_stores")
    async def list_stores(request: Request) -> Response:
        stores = await desk.client.stores()
        numbers = desk.store_places.see([store.store_id for store in stores])
        rows = [_shown(desk, store) for store in stores]
        return json_response(page(rows, request.query_params, OF_STORES, numbers))

    @app.get("/v1/vector_stores/{store_id}")
    async def get_store(store_id: str) -> Response:
        return json_response(_shown(desk, await find_store(desk, store_id)))

    @app.delete("/v1/vector_stores/{store_id}")
    async def delete_store(store_id: str) -> Response:
        await desk.delete_store(store_id)
        return json_response({"id": store_id, "object": "vector_store.deleted", "deleted": True})

    @app.post("/v1/vector_stores/{store_id}/search")
    async def search(store_id: str, request: Request) -> Response:
        asked = read_search(await read_fields(request, desk))
        return json_response(found_shown(asked.queries, await _found(desk, store_id, asked)))


def _add_making(app: APIRouter, desk: Desk) -> None:
    @app.post("/v1/vector_stores")
    async def create(request: Request) -> Response:
        fields = await read_fields(request, desk)
        name, metadata = fields.string("name", ""), read_metadata(fields)
        file_ids = read_file_ids(fields, desk.settings.max_files)
        chunking, days = read_chunking(fields), read_expiry(fields)
        index = read_index(fields)
        fields.refuse_rest(frozenset(), STORE_NEUTRAL)
        wanted = [Wanted(file_id, chunking=chunking) for file_id in file_ids]
        await check_files(desk, wanted)  # before anything is created
        store = await desk.client.create_store(name, metadata, desk.now_s(), index)
        if wanted:
            try:
                store = await attach(desk, store.store_id, wanted)
            except BaseException:
                with suppress(PerfuseError):  # what is told is why it failed
                    await desk.client.delete_store(store.store_id)
                raise
        if days is not None:
            desk.expiry.give(store.store_id, days, desk.now_s())
        return json_response(_shown(desk, store))

    @app.post("/v1/vector_stores/{store_id}")
    async def change(store_id: str, request: Request) -> Response:
        fields = await read_fields(request, desk)
        name = fields.string("name") if fields.has_had("name") else None
        metadata, days = read_metadata(fields), read_expiry(fields)
        fields.refuse_rest(frozenset(), {})
        store = await desk.client.change_store(store_id, name, metadata)
        if days is not None:
            desk.expiry.give(store_id, days, desk.now_s())
        elif fields.is_null("expires_after"):
            desk.expiry.drop(store_id)
        return json_response(_shown(desk, store))


async def _found(desk: Desk, store_id: str, asked: Asked) -> list[SearchHit]:
    """Of all queries together the best, each passage once."""
    hits = await desk.client.search_any(store_id, asked.queries, asked.top_k, asked.narrowing)
    return [hit for hit in hits if hit.score >= asked.least]


def _shown(desk: Desk, store: StoreInfo) -> dict[str, Any]:
    return store_shown(store, desk.started_s, desk.expiry.get(store.store_id))


async def find_store(desk: Desk, store_id: str) -> StoreInfo:
    """Raises NotFound."""
    for store in await desk.client.stores():
        if store.store_id == store_id:
            return store
    raise NotFound(f"no vector store {store_id!r:.80}", param="vector_store_id")
