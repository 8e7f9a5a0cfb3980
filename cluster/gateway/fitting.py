"""What cannot fit the cluster is refused before it travels, once for all choices."""

from collections.abc import Mapping
from typing import Any

from cluster.api.length import check_length
from cluster.gateway.generation import Generation
from workers.errors import InvalidRequest


def check_fits(generation: Generation, model: Mapping[str, Any]) -> None:
    """Raises ContextTooLong for a prompt that has too many tokens for certain: ids, or text with so
    many characters that tokens of the longest kind would not do; InvalidRequest for more choices
    than are ever let in together. The router knows the rest.

    model   what it says of itself, see RouterClient.models
    """
    _check_queue(generation, model.get("max_queue", 0))
    context, longest = model.get("max_model_len", 0), model.get("max_token_chars", 0)
    if not context:
        return
    for request in generation.requests[:: generation.n]:
        if request.prompt_ids:
            check_length(request, len(request.prompt_ids), context)
        elif request.prompt and longest:
            check_length(request, -(-len(request.prompt) // longest), context, "at least ")


def _check_queue(generation: Generation, most: int) -> None:
    wanted = len(generation.requests)
    if most and wanted > most:
        name = "n" if generation.n > 1 else "prompt"
        asked = f"{generation.num_prompts} prompts times n = {generation.n}"
        raise InvalidRequest(
            f"{asked} are {wanted} choices: the cluster takes at most {most} at once "
            "(slo.admission.max_queue)",
            param=name,
        )
