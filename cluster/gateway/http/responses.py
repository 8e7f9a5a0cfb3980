"""/v1/responses, and the responses that are kept."""

from typing import Any

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from cluster.gateway.desk import Desk
from cluster.gateway.generation import Generation
from cluster.gateway.http.inference import generate, json_response
from cluster.gateway.listing import page
from cluster.gateway.naming import Name
from cluster.gateway.responses.answer import ResponseAnswer
from cluster.gateway.responses.items import Item
from cluster.gateway.responses.naming import id_of
from cluster.gateway.responses.request import ResponseGeneration, parse_response
from cluster.gateway.responses.shelf import Shelf
from cluster.gateway.settings import GatewaySettings
from workers.errors import InvalidRequest


def add_response_routes(app: FastAPI, desk: Desk) -> None:
    shelf = Shelf(desk.settings.max_responses, desk.settings.max_responses_total_bytes)

    def parse(body: object, name: Name, seed: int, settings: GatewaySettings) -> Generation:
        return parse_response(body, name, seed, settings, shelf)

    def answer(generation: Generation, tool_format: str) -> ResponseAnswer:
        assert isinstance(generation, ResponseGeneration)
        return ResponseAnswer(generation, tool_format, desk.now_s(), shelf)

    @app.post("/v1/responses")
    async def create(request: Request) -> Response:
        return await generate(desk, request, parse, answer)

    @app.get("/v1/responses/{response_id}")
    async def get(response_id: str, request: Request) -> Response:
        if request.query_params.get("stream", "false").lower() not in ("false", "0"):
            raise InvalidRequest(
                "stream is not supported here: a response that is kept is complete", param="stream"
            )
        return json_response(shelf.get(response_id).response)

    @app.delete("/v1/responses/{response_id}")
    async def delete(response_id: str) -> Response:
        shelf.remove(response_id)
        return json_response({"id": response_id, "object": "response", "deleted": True})

    @app.post("/v1/responses/{response_id}/cancel")
    async def cancel(response_id: str) -> Response:
        shelf.get(response_id)
        raise InvalidRequest(
            "only responses in the background can be cancelled, and none are: close the connection"
        )

    @app.get("/v1/responses/{response_id}/input_items")
    async def input_items(response_id: str, request: Request) -> Response:
        query = {k: v for k, v in request.query_params.items() if not k.startswith("include")}
        items = shelf.get(response_id).items
        return json_response(page([_shown(response_id, i, x) for i, x in enumerate(items)], query))


def _shown(response_id: str, index: int, item: Item) -> dict[str, Any]:
    """With an id, and texts as parts."""
    shown = {"id": id_of("item", response_id, index), "status": "completed", **item}
    content = item.get("content")
    if item["type"] == "message" and isinstance(content, str):
        kind = "output_text" if item["role"] == "assistant" else "input_text"
        part: dict[str, Any] = {"type": kind, "text": content}
        if kind == "output_text":
            part |= {"annotations": []}
        shown["content"] = [part]
    return shown
