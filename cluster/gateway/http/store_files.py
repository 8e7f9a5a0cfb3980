"""/v1/vector_stores/{id}/files and /file_batches.

Attaching is answered at once: a file is "in_progress" until it can be found, or failed.
"""

from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from cluster.gateway.attaching import attach, find_file
from cluster.gateway.batches import Batch
from cluster.gateway.desk import Desk
from cluster.gateway.http.body import read_fields
from cluster.gateway.http.inference import json_response
from cluster.gateway.listing import page_of, read_cursor
from cluster.gateway.store_form import batch_shown, content_shown, file_shown
from cluster.gateway.store_request import read_attributes, read_batch, read_file, read_status
from workers.errors import InvalidRequest

FILES = "/v1/vector_stores/{store_id}/files"
BATCHES = "/v1/vector_stores/{store_id}/file_batches"

# When the official client asks again for what is in progress; it would wait a second.
POLLED = {"openai-poll-after-ms": "100"}
# Of showing one as JSON. ASSUMED, for how it queues.
OPERATIONS_PER_PASSAGE = 1_000


def add_store_file_routes(app: APIRouter, desk: Desk) -> None:
    _add_files(app, desk)
    _add_one_file(app, desk)
    _add_batches(app, desk)


def _add_files(app: APIRouter, desk: Desk) -> None:
    @app.post(FILES)
    async def attach_one(store_id: str, request: Request) -> Response:
        wanted = read_file(await read_fields(request, desk))
        await attach(desk, store_id, [wanted])
        return json_response(await _shown(desk, store_id, wanted.file_id))

    @app.get(FILES)
    async def list_attached(store_id: str, request: Request) -> Response:
        return await _page(desk, store_id, request)


def _add_one_file(app: APIRouter, desk: Desk) -> None:
    # A preloaded file's id may be a path.
    @app.get(FILES + "/{file_id:path}/content")
    async def content(store_id: str, file_id: str) -> Response:
        texts = await desk.client.read_file(store_id, file_id)
        size = len(texts) * OPERATIONS_PER_PASSAGE
        return await desk.aside.run(size, lambda: json_response(content_shown(texts)))

    @app.get(FILES + "/{file_id:path}")
    async def get_attached(store_id: str, file_id: str) -> Response:
        return json_response(await _shown(desk, store_id, file_id), headers=POLLED)

    @app.post(FILES + "/{file_id:path}")
    async def change(store_id: str, file_id: str, request: Request) -> Response:
        fields = await read_fields(request, desk)
        if not fields.has_had("attributes"):
            raise InvalidRequest("attributes is missing", param="attributes")
        attributes = read_attributes(fields.take("attributes")) or {}
        fields.refuse_rest(frozenset(), {})
        await desk.client.change_file(store_id, file_id, attributes)
        return json_response(await _shown(desk, store_id, file_id))

    @app.delete(FILES + "/{file_id:path}")
    async def remove(store_id: str, file_id: str) -> Response:
        await desk.client.remove_file(store_id, file_id)
        kind = "vector_store.file.deleted"
        return json_response({"id": file_id, "object": kind, "deleted": True})


def _add_batches(app: APIRouter, desk: Desk) -> None:
    @app.post(BATCHES)
    async def create(store_id: str, request: Request) -> Response:
        wanted = read_batch(await read_fields(request, desk), desk.settings.max_files)
        await attach(desk, store_id, wanted)
        batch = desk.batches.add(store_id, [one.file_id for one in wanted], desk.now_s())
        return json_response(await _batch(desk, batch))

    @app.get(BATCHES + "/{batch_id}")
    async def get_batch(store_id: str, batch_id: str) -> Response:
        batch = desk.batches.get(store_id, batch_id)
        return json_response(await _batch(desk, batch), headers=POLLED)

    @app.post(BATCHES + "/{batch_id}/cancel")
    async def cancel(store_id: str, batch_id: str) -> Response:
        batch = desk.batches.get(store_id, batch_id)
        counts = await desk.client.count_files(store_id, batch.file_ids)
        if counts["in_progress"]:
            await desk.client.cancel_files(store_id, batch.file_ids)
            batch.is_cancelled = True
        return json_response(await _batch(desk, batch))

    @app.get(BATCHES + "/{batch_id}/files")
    async def list_files(store_id: str, batch_id: str, request: Request) -> Response:
        return await _page(desk, store_id, request, desk.batches.get(store_id, batch_id).file_ids)


async def _shown(desk: Desk, store_id: str, file_id: str) -> dict[str, Any]:
    return file_shown(store_id, await find_file(desk, store_id, file_id), desk.started_s)


async def _batch(desk: Desk, batch: Batch) -> dict[str, Any]:
    return batch_shown(batch, await desk.client.count_files(batch.store_id, batch.file_ids))


async def _page(
    desk: Desk, store_id: str, request: Request, file_ids: Sequence[str] = ()
) -> Response:
    """Of a store's files, or of these."""
    query = dict(request.query_params)
    status = read_status(query)
    files, has_more = await desk.client.files(store_id, read_cursor(query), file_ids, status)
    rows = [file_shown(store_id, file, desk.started_s) for file in files]
    return json_response(page_of(rows, has_more))
