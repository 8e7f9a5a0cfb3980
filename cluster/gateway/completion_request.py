"""The body of POST /v1/completions."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from cluster.api.request import Request
from cluster.gateway.fields import Fields
from cluster.gateway.generation import (
    Generation,
    fan_out,
    sampling,
    token_ids,
)
from cluster.gateway.naming import Name
from cluster.gateway.retrieval_request import read_retrieval
from cluster.gateway.settings import GatewaySettings
from workers.errors import InvalidRequest

_NEUTRAL: dict[str, tuple[Any, ...]] = {"suffix": ("",)}


def parse_completion(
    body: object, name: Name, default_seed: int, settings: GatewaySettings
) -> Generation:
    """Raises InvalidRequest naming the first field that is wrong or not supported."""
    fields = Fields(body)
    model = fields.string("model")
    prompts = _prompts(fields, settings.max_choices)
    retrieval = read_retrieval(
        fields, "'file_search': functions are called in /v1/chat/completions"
    )
    max_tokens = fields.integer("max_tokens", None, 1)
    logprobs = fields.integer("logprobs", None, 0, 20)
    echoes = fields.boolean("echo")
    if echoes:
        _check_echo(prompts, logprobs)
    request = Request(
        request_id=name.unique,
        model=model,
        sampling=sampling(
            fields, default_seed, max_tokens, settings.default_max_tokens, logprobs, settings
        ),
        shortens=max_tokens is None,
        retrieval=retrieval,
    )
    requests = [
        replace(request, prompt=p) if isinstance(p, str) else replace(request, prompt_ids=p)
        for p in prompts
    ]
    generation = fan_out(requests, fields, f"cmpl-{name.answer}", retrieval, settings, _NEUTRAL)
    if not echoes:
        return generation
    return replace(generation, echoed=tuple(r.prompt or "" for r in generation.requests))


def _check_echo(prompts: Sequence[str | tuple[int, ...]], logprobs: int | None) -> None:
    """Raises InvalidRequest for what the cluster alone would know of a prompt."""
    lacks = ""
    if logprobs is not None:
        lacks = "logprobs: those of a prompt's tokens are not computed"
    elif not all(isinstance(prompt, str) for prompt in prompts):
        lacks = "a prompt of token ids: send its text"
    if lacks:
        raise InvalidRequest(f"echo is not supported with {lacks}", param="echo")


def _prompts(fields: Fields, most: int) -> list[str | tuple[int, ...]]:
    """A string, a list of strings, a list of token ids, or a list of lists of token ids; none
    empty.
    """
    raw = fields.take("prompt")
    right = "a non-empty string, list of strings, list of token ids or list of those"
    if isinstance(raw, str) and raw:
        return [raw]
    if not isinstance(raw, list) or not raw:
        raise fields.wrong("prompt", raw, right)
    if (ids := token_ids(raw)) is not None:
        return [ids]
    if len(raw) > most and isinstance(raw[0], str | list):
        raise InvalidRequest(
            f"prompt has {len(raw)} prompts: at most {most} fit one request", param="prompt"
        )
    if all(isinstance(p, str) and p for p in raw):
        return list(raw)
    prompts = [ids for p in raw if (ids := token_ids(p))]
    if len(prompts) == len(raw):
        return list(prompts)
    raise fields.wrong("prompt", raw, right)
