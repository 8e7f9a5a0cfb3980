"""/v1/files."""

from typing import Any

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from cluster.gateway.desk import Desk
from cluster.gateway.files import StoredFile
from cluster.gateway.http.body import read_upload
from cluster.gateway.http.inference import json_response
from cluster.gateway.listing import OF_FILES, page


def add_file_routes(app: FastAPI, desk: Desk) -> None:
    @app.post("/v1/files")
    async def upload(request: Request) -> Response:
        limits = desk.settings
        filename, purpose, content = await read_upload(
            request, limits.max_file_bytes, limits.body_timeout_s, desk.aside
        )
        file = desk.shelf.add(filename, purpose, content, desk.now_s(), desk.incarnation)
        return json_response(_shown(file))

    @app.get("/v1/files")
    async def list_files(request: Request) -> Response:
        query = dict(request.query_params)
        purpose = query.pop("purpose", None)
        files = [f for f in desk.shelf.all() if purpose in (None, f.purpose)]
        rows = [_shown(f) for f in files]
        return json_response(page(rows, query, OF_FILES, desk.shelf.numbers()))

    @app.get("/v1/files/{file_id}")
    async def get_file(file_id: str) -> Response:
        return json_response(_shown(desk.shelf.get(file_id)))

    @app.get("/v1/files/{file_id}/content")
    async def content(file_id: str) -> Response:
        return Response(desk.shelf.get(file_id).content, media_type="application/octet-stream")

    @app.delete("/v1/files/{file_id}")
    async def delete_file(file_id: str) -> Response:
        # Nobody attaches it from now on; what was made of it goes before this is answered.
        file = desk.shelf.take_out(file_id)
        try:
            await desk.client.forget_file(file_id)
        except BaseException:
            desk.shelf.put_back(file)
            raise
        return json_response({"id": file_id, "object": "file", "deleted": True})


def _shown(file: StoredFile) -> dict[str, Any]:
    return {
        "id": file.file_id,
        "object": "file",
        "bytes": len(file.content),
        "created_at": file.created_s,
        "filename": file.filename,
        "purpose": file.purpose,
        "status": "processed",
    }
