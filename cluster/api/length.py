"""What prompt and answer may take together, and what whoever asks for more hears."""

from cluster.api.request import Request
from workers.errors import ContextTooLong


def least_answer(request: Request) -> int:
    """Tokens that its answer must have room for."""
    sampling = request.sampling
    return max(1, sampling.min_tokens) if request.shortens else sampling.max_tokens


def check_length(
    request: Request,
    num_prompt: int,
    max_model_len: int,
    accuracy: str = "",
    passages: tuple[int, int] = (0, 0),
) -> None:
    """Raise ContextTooLong unless prompt and answer fit the context together.

    accuracy   "at least " where `num_prompt` is a bound
    passages   how many joined the prompt, and how many of its tokens they are
    """
    wanted = least_answer(request)
    if num_prompt + wanted <= max_model_len:
        return
    retrieved, num_retrieved = passages
    of_them = f", {num_retrieved} of them in {retrieved} retrieved passages" if retrieved else ""
    name = "min_tokens" if request.shortens else "max_tokens"
    answer = (
        "which leaves no room for an answer"
        if wanted == 1 and request.shortens
        else f"and {name} is {wanted}, together {num_prompt + wanted}"
    )
    fewer = "retrieve fewer passages (top_k), " if retrieved else ""
    # Clients know the error by the first words, as OpenAI writes them.
    raise ContextTooLong(
        f"This model's maximum context length is {max_model_len} tokens. The prompt has "
        f"{accuracy}{num_prompt} tokens{of_them}, {answer}: {fewer}shorten the prompt or ask for a "
        "shorter answer",
        param="messages" if request.messages else "prompt",
    )


def answer_tokens(request: Request, num_prompt: int, max_model_len: int) -> int:
    """max_tokens of a request that fits: a default shrinks to the room that its prompt leaves."""
    wanted = request.sampling.max_tokens
    return min(wanted, max_model_len - num_prompt) if request.shortens else wanted
