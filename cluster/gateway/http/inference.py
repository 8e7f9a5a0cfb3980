"""/v1/chat/completions, /v1/completions and /v1/models."""

from collections.abc import Callable, Mapping

import orjson
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from cluster.gateway.answer import Answer, Writer
from cluster.gateway.chat_form import ChatForm
from cluster.gateway.chat_request import parse_chat
from cluster.gateway.completion_form import CompletionForm
from cluster.gateway.completion_request import parse_completion
from cluster.gateway.desk import Desk
from cluster.gateway.fitting import check_fits
from cluster.gateway.generation import Generation
from cluster.gateway.http.asking import named_anew, resumption_of, within
from cluster.gateway.http.body import OPERATIONS_PER_BYTE, json_of, read_body
from cluster.gateway.http.generate import GenerationResponse
from cluster.gateway.http.shell import NAME
from cluster.gateway.naming import Name
from cluster.gateway.settings import GatewaySettings
from cluster.gateway.tools.chat_form import ToolForm
from cluster.text.tool_calls.formats import PLAIN
from workers.errors import NotFound

# Whoever watches may ask for the status alone: the server sends no body to HEAD.
READ = ["GET", "HEAD"]

Parse = Callable[[object, Name, int, GatewaySettings], Generation]
# With the format in which the model writes calls.
Write = Callable[[Generation, str], Writer]


def json_response(
    body: object, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    return Response(orjson.dumps(body), status, headers, media_type="application/json")


async def generate(desk: Desk, request: Request, parse: Parse, write: Write) -> Response:
    """Read a request, check it against the cluster, and answer it."""
    limits = desk.settings
    raw = await read_body(request, limits.max_body_bytes, limits.body_timeout_s)
    start_ns = desk.now_ns()
    path, headers = request.url.path, request.headers
    name = named_anew(request.scope[NAME], path, raw)
    size = len(raw) * OPERATIONS_PER_BYTE
    generation = await desk.aside.run(size, lambda: parse(json_of(raw), name, 0, limits))
    generation = within(headers, generation, desk.client.deadline_ns)
    resumption = resumption_of(headers, name, path, raw, generation)
    model = await desk.served(generation.model)
    if model is not None:
        check_fits(generation, model, limits.max_alternatives)
    await desk.constraints.check(generation)
    if generation.retrieval is not None:
        await desk.see_store(generation.retrieval.store)
    tool_format = str((model or {}).get("tool_format", PLAIN))
    # Seeds are dealt in the order in which requests were understood, whoever was read first.
    if not generation.is_seeded:
        generation = generation.seeded(desk.naming.seed(name))
    desk.naming.seed_taken()
    answer = write(generation, tool_format)
    is_served = model is not None
    return GenerationResponse(desk, generation, answer, name, start_ns, is_served, resumption)


def add_inference_routes(app: FastAPI, desk: Desk) -> None:
    def write_chat(generation: Generation, tool_format: str) -> Writer:
        form = ChatForm() if generation.calling is None else ToolForm(generation, tool_format)
        return Answer(generation, form, desk.now_s())

    def write_completion(generation: Generation, _: str) -> Writer:
        return Answer(generation, CompletionForm(generation.echoed), desk.now_s())

    @app.post("/v1/chat/completions")
    async def chat(request: Request) -> Response:
        return await generate(desk, request, parse_chat, write_chat)

    @app.post("/v1/completions")
    async def completions(request: Request) -> Response:
        return await generate(desk, request, parse_completion, write_completion)

    @app.api_route("/v1/models", methods=READ)
    async def models() -> Response:
        return json_response({"object": "list", "data": await desk.models()})

    @app.api_route("/v1/models/{model_id:path}", methods=READ)
    async def model(model_id: str) -> Response:
        for found in await desk.models():
            if found["id"] == model_id:
                return json_response(found)
        raise NotFound(f"no model {model_id!r:.80}", param="model")
