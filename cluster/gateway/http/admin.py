"""/admin: what operators ask while a cluster runs."""

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from cluster.gateway.desk import Desk
from cluster.gateway.fields import Fields
from cluster.gateway.http.body import read_json
from cluster.gateway.http.inference import json_response


def add_admin_routes(app: FastAPI, desk: Desk) -> None:
    admin, limits = desk.admin, desk.settings

    @app.get("/admin/faults")
    async def list_faults(request: Request) -> Response:
        admin.check(request.headers)
        return json_response({"object": "list", "data": list(admin.faults.all())})

    @app.post("/admin/faults")
    async def add_fault(request: Request) -> Response:
        admin.check(request.headers)
        admin.check_body(request.headers)
        body = await read_json(request, limits.max_body_bytes, limits.body_timeout_s)
        return json_response(await admin.taken_up(admin.faults.add(body)))

    @app.get("/admin/restarts")
    async def show_restart(request: Request) -> Response:
        admin.check(request.headers)
        return json_response(admin.restarts.shown())

    @app.post("/admin/restarts")
    async def restart(request: Request) -> Response:
        admin.check(request.headers)
        admin.check_body(request.headers)
        body = Fields(await read_json(request, limits.max_body_bytes, limits.body_timeout_s))
        body.refuse_rest(frozenset(), {})
        return json_response(admin.restarts.want())

    @app.delete("/admin/faults/{name}")
    async def remove_fault(name: str, request: Request) -> Response:
        admin.check(request.headers)
        await admin.taken_up(admin.faults.remove(name))
        return json_response({"name": name, "object": "fault", "deleted": True})
