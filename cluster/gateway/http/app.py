"""The application: routes, and one shape for every error."""

from collections.abc import Iterable, Iterator

from fastapi import APIRouter, Depends, FastAPI
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp

from cluster.gateway.desk import Desk
from cluster.gateway.errors import UnknownRoute, WrongMethod
from cluster.gateway.http.admin import add_admin_routes
from cluster.gateway.http.embeddings import add_embedding_routes
from cluster.gateway.http.files import add_file_routes
from cluster.gateway.http.health import add_health_routes
from cluster.gateway.http.inference import add_inference_routes
from cluster.gateway.http.responses import add_response_routes
from cluster.gateway.http.shell import NAME, ErrorResponse, Shell
from cluster.gateway.http.store_files import add_store_file_routes
from cluster.gateway.http.stores import add_store_routes
from workers.errors import InvalidRequest, PerfuseError


def _add_stores(app: FastAPI, desk: Desk) -> None:
    async def see(request: Request) -> None:
        await desk.see_store(request.path_params.get("store_id"))

    routes = APIRouter(dependencies=[Depends(see)])
    add_store_file_routes(routes, desk)
    add_store_routes(routes, desk)
    app.include_router(routes)


ROUTES = (
    add_inference_routes,
    add_response_routes,
    add_embedding_routes,
    add_file_routes,
    _add_stores,
    add_health_routes,
    add_admin_routes,
)


def _methods_of(app: FastAPI, request: Request) -> list[str]:
    """Of all routes of its path: each is a route of its own, and the framework names the first."""
    methods: set[str] = set()
    for route in _leaves(app.routes):
        if route.matches(request.scope)[0] is not Match.NONE:
            methods |= getattr(route, "methods", None) or set()
    return sorted(methods)


def _leaves(routes: Iterable[BaseRoute]) -> Iterator[BaseRoute]:
    for route in routes:
        included = getattr(route, "original_router", None)
        yield from (route,) if included is None else _leaves(included.routes)


def make_app(desk: Desk) -> ASGIApp:
    # No generated documentation: bodies are checked by hand, so the framework knows no schema.
    app = FastAPI(
        title="perfuse", docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False
    )
    for add in ROUTES:
        add(app, desk)

    async def failed(request: Request, error: Exception) -> Response:
        name = request.scope[NAME]
        return ErrorResponse(error, name.public, desk.settings.max_body_bytes)

    async def refused(request: Request, error: Exception) -> Response:
        """What the framework itself refuses: an unknown path or a wrong method."""
        assert isinstance(error, HTTPException)
        method = f"{request.method:.20}"
        what = f"{method} {request.url.path:.100}"
        ours: PerfuseError = InvalidRequest(f"{what}: {error.detail}")
        if error.status_code == 404:
            ours = UnknownRoute(f"{what}: no such route")
        elif error.status_code == 405:
            ours = WrongMethod(f"{what}: this route does not take {method}")
        response = await failed(request, ours)
        if error.status_code == 405:
            response.headers["allow"] = ", ".join(_methods_of(app, request))
        return response

    app.add_exception_handler(PerfuseError, failed)
    app.add_exception_handler(HTTPException, refused)
    app.add_exception_handler(Exception, failed)
    shell = Shell(app, desk.naming)
    origins = desk.settings.allowed_origins
    if not origins:
        return shell
    # Browsers ask first whether they may: that has no answer of ours.
    return CORSMiddleware(
        shell,
        allow_origins=origins,
        allow_methods=["*"],
        allow_headers=["*"],
        expose_headers=["x-request-id", "retry-after"],
    )
