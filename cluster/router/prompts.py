"""From what a user asked to the token ids that a chip computes."""

from collections.abc import Sequence

from cluster.api.length import check_length, least_answer
from cluster.api.request import Request
from cluster.text.tokenizer import Tokenizer
from workers.errors import InvalidRequest


def retrieval_query(request: Request) -> str:
    """What passages are looked for: the last user message, or the prompt."""
    for message in reversed(request.messages):
        if message.get("role") == "user":
            return str(message["content"])
    if request.prompt is None:
        raise InvalidRequest(
            "retrieval needs text to search for: a user message or a text prompt", param="retrieval"
        )
    return request.prompt


def prompt_text(request: Request, passages: Sequence[str], tokenizer: Tokenizer) -> str:
    """Passages go first, best first, a line each: as a system message of a chat, as lines before a
    prompt. Raises InvalidRequest where the chat template refuses the messages.
    """
    context = "\n".join(passages)
    if request.prompt is not None:
        return f"{context}\n{request.prompt}" if context else request.prompt
    head = [{"role": "system", "content": context}] if context else []
    messages = tokenizer.fitted([*head, *request.messages], request.tools)
    return tokenizer.render_chat(messages, tools=request.tools)


def prompt_ids(
    request: Request, passages: Sequence[str], tokenizer: Tokenizer, vocab: int
) -> list[int]:
    """`vocab` is the model's, which may be larger than the tokenizer's (rows that pad it) or
    smaller (tokens added, but no rows for them). Raises InvalidRequest where nothing is left to
    compute, an id has no row, or the chat template refuses the messages.
    """
    if request.prompt_ids:
        ids = list(request.prompt_ids)
    else:
        ids = tokenizer.encode(prompt_text(request, passages, tokenizer))
    if not ids:
        raise InvalidRequest("the prompt is empty: it needs at least 1 token", param="prompt")
    wrong = next((i for i in ids if not 0 <= i < vocab), None)
    if wrong is not None:
        raise InvalidRequest(
            f"the prompt has token id {wrong}: the model's go from 0 to {vocab - 1}",
            param="messages" if request.messages else "prompt",
        )
    return ids


def check_least(request: Request, tokenizer: Tokenizer, max_model_len: int) -> None:
    """`check_length` of a prompt that has not been looked at: whatever its text, it has at least so
    many tokens. A chat's is known when its template has made one text of it.
    """
    if request.prompt_ids:
        check_length(request, len(request.prompt_ids), max_model_len)
    elif request.prompt is not None:
        check_text(request, request.prompt, tokenizer, max_model_len)


def check_text(
    request: Request,
    text: str,
    tokenizer: Tokenizer,
    max_model_len: int,
    passages: Sequence[str] = (),
) -> None:
    """`check_length` of a text that is not tokenised: as far as its number of characters says."""
    retrieved = len(passages), tokenizer.least_tokens("\n".join(passages))
    least = tokenizer.least_tokens(text)
    check_length(request, least, max_model_len, "at least ", retrieved)


def check_ids(
    request: Request,
    ids: Sequence[int],
    tokenizer: Tokenizer,
    max_model_len: int,
    passages: Sequence[str],
) -> None:
    """`check_length` of a prompt that is known."""
    retrieved = 0
    if passages and len(ids) + least_answer(request) > max_model_len:
        alone = tokenizer.encode(prompt_text(request, (), tokenizer))
        retrieved = len(ids) - len(alone)
    check_length(request, len(ids), max_model_len, passages=(len(passages), retrieved))
