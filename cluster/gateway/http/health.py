"""/health, /version and /metrics."""

import logging
from collections.abc import Awaitable, Callable

from fastapi import FastAPI
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import Response

from cluster.gateway.client import ClusterState
from cluster.gateway.desk import Desk
from cluster.gateway.http.inference import READ, json_response

log = logging.getLogger(__name__)


def add_health_routes(app: FastAPI, desk: Desk) -> None:
    async def health() -> Response:
        state = await _told(desk.pulse.state)
        if state is None:
            return json_response({"status": "unreachable"}, 503)
        if desk.draining or state.draining:
            return json_response({"status": "draining"}, 503)
        if state.lack:
            return json_response({"status": "unavailable", "reason": state.lack}, 503)
        return json_response({"status": "ready"}) if state.ready else _loading()

    app.add_api_route("/health", health, methods=READ)
    app.add_api_route("/health/ready", health, methods=READ)

    @app.api_route("/version", methods=READ)
    async def version() -> Response:
        return json_response({"version": desk.settings.version})

    @app.api_route("/metrics", methods=READ)
    async def metrics() -> Response:
        state = await _told(desk.state)
        model = desk.settings.model_name
        if state is not None and not model:
            model = await _first_model(desk)
        # Without a model there is no label to put the cluster's own numbers under.
        text = desk.metrics.exposition(state if model else None, model)
        # As a header, not media_type: that would append a second charset.
        return Response(text, headers={"content-type": CONTENT_TYPE_LATEST})


def _loading() -> Response:
    return json_response({"status": "loading"}, 503)


async def _told(ask: Callable[[], Awaitable[ClusterState]]) -> ClusterState | None:
    """None if the router does not answer: that is news for a health check, not an error of it."""
    try:
        return await ask()
    except Exception:
        log.warning("the router does not tell its state", exc_info=True)
        return None


async def _first_model(desk: Desk) -> str:
    try:
        models = await desk.models()
    except Exception:
        log.warning("the router does not tell its models", exc_info=True)
        return ""
    if not models:
        return ""
    name = str(models[0]["id"])
    desk.metrics.model(name)  # its series exist, at zero, before its first request
    return name
