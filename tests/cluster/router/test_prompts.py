"""From what a user asked to token ids."""

from functools import cache
from pathlib import Path

import pytest

from cluster.api.length import answer_tokens, check_length
from cluster.api.request import Request
from cluster.router.prompts import check_ids, check_text, prompt_ids, retrieval_query
from cluster.text.tokenizer import Tokenizer
from configs.presets import model_folder
from workers.errors import ContextTooLong, InvalidRequest
from workers.model.sampling_params import SamplingParams


@cache
def tokenizer() -> Tokenizer:
    return Tokenizer.load(Path(model_folder("perfuse-tiny")))


VOCAB = 512  # of perfuse-tiny


def asked(**fields: object) -> Request:
    return Request("r", "m", SamplingParams(max_tokens=10), **fields)  # type: ignore[arg-type]


def test_passages_go_before_the_prompt() -> None:
    ids = prompt_ids(asked(prompt="Q"), ("one", "two"), tokenizer(), VOCAB)
    assert tokenizer().decode(ids) == "one\ntwo\nQ"
    assert tokenizer().decode(prompt_ids(asked(prompt="Q"), (), tokenizer(), VOCAB)) == "Q"
    chat = [{"role": "user", "content": "Q"}]
    ids = prompt_ids(asked(messages=tuple(chat)), ("one",), tokenizer(), VOCAB)
    system = {"role": "system", "content": "one"}
    assert ids == tokenizer().encode(tokenizer().render_chat([system, *chat]))


def test_token_ids_are_taken_as_they_are_and_checked() -> None:
    assert prompt_ids(asked(prompt_ids=(5, 6)), (), tokenizer(), 7) == [5, 6]
    for wrong in (-1, 7):
        with pytest.raises(InvalidRequest, match=f"token id {wrong}: the model's go from 0 to 6"):
            prompt_ids(asked(prompt_ids=(5, wrong)), (), tokenizer(), 7)
    with pytest.raises(InvalidRequest, match="empty"):
        prompt_ids(asked(prompt=""), (), tokenizer(), VOCAB)


def test_the_model_decides_which_ids_there_are_and_not_its_tokenizer() -> None:
    """Embeddings are often padded beyond the tokenizer; tokens added to it may have no row."""
    padded = VOCAB + 64
    last = (5, padded - 1)
    assert prompt_ids(asked(prompt_ids=last), (), tokenizer(), padded) == list(last)
    text = "Q"
    (known,) = tokenizer().encode(text)
    with pytest.raises(InvalidRequest, match=f"token id {known}"):
        prompt_ids(asked(prompt=text), (), tokenizer(), known)


def test_what_is_looked_for() -> None:
    chat = (
        {"role": "user", "content": "a"},
        {"role": "user", "content": "b"},
        {"role": "assistant", "content": "c"},
    )
    assert retrieval_query(asked(messages=chat)) == "b"
    assert retrieval_query(asked(prompt="p")) == "p"
    with pytest.raises(InvalidRequest, match="needs text"):
        retrieval_query(asked(prompt_ids=(1,)))


def test_prompt_and_answer_fit_together_to_the_token() -> None:
    check_length(asked(prompt="x"), 90, 100)
    with pytest.raises(ContextTooLong) as refused:
        check_length(asked(prompt="x"), 91, 100)
    assert refused.value.message == (
        "This model's maximum context length is 100 tokens. The prompt has 91 tokens, and "
        "max_tokens is 10, together 101: shorten the prompt or ask for a shorter answer"
    )


@pytest.mark.parametrize(
    ("num_prompt", "answer"), [(90, 10), (91, 9), (99, 1)], ids=["all", "less", "one"]
)
def test_a_default_shrinks_to_the_room_left(num_prompt: int, answer: int) -> None:
    request = asked(prompt="x", shortens=True)
    check_length(request, num_prompt, 100)
    assert answer_tokens(request, num_prompt, 100) == answer


def test_a_default_needs_room_for_one_token_and_for_min_tokens() -> None:
    with pytest.raises(ContextTooLong, match="100 tokens, which leaves no room for an answer"):
        check_length(asked(prompt="x", shortens=True), 100, 100)
    least = SamplingParams(max_tokens=10, min_tokens=5)
    check_length(Request("r", "m", least, prompt="x", shortens=True), 95, 100)
    with pytest.raises(ContextTooLong, match="min_tokens is 5, together 101"):
        check_length(Request("r", "m", least, prompt="x", shortens=True), 96, 100)


def test_passages_are_named_where_they_are_what_is_too_long() -> None:
    """Two passages of 12 bytes are 25 tokens with their line ends where no two bytes merge."""
    passages, request = ("zqxzqxzqxzqx", "zqxzqxzqxzqx"), asked(prompt="Q")
    ids = prompt_ids(request, passages, tokenizer(), VOCAB)
    retrieved = len(ids) - len(tokenizer().encode("Q"))
    words = rf"has {len(ids)} tokens, {retrieved} of them in 2 retrieved passages.*top_k"
    with pytest.raises(ContextTooLong, match=words):
        check_ids(request, ids, tokenizer(), len(ids) + 9, passages)
    with pytest.raises(ContextTooLong, match=r"at least .* 2 retrieved passages"):
        check_text(request, "\n".join((*passages, "Q")), tokenizer(), 10, passages)
