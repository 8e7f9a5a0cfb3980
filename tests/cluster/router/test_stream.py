"""A stream delivers each position once and in order, whatever order chips tell them in."""

import random
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.api.request import Request
from cluster.router.prompts import check_length, prompt_ids, retrieval_query
from cluster.router.stream import Stream
from cluster.text.tokenizer import Tokenizer
from configs.presets import model_folder
from workers.errors import ContextTooLong, InvalidRequest
from workers.model.sampling_params import SamplingParams


@cache
def tokenizer() -> Tokenizer:
    return Tokenizer.load(Path(model_folder("perfuse-tiny")))


VOCAB = 512  # of perfuse-tiny


def stream(**sampling: object) -> Stream:
    params = SamplingParams(max_tokens=64, **sampling)  # type: ignore[arg-type]
    return Stream(Request("r", "m", params, prompt="x"), "gateway", tokenizer())


TEXT = "The price of Rasavan-65 is 34647 USD, for the Tamavan-69 it is 9.3 V \u20ac\u20ac."


@given(st.integers(0, 2**30), st.integers(0, 3))
def test_any_order_and_any_repetition_give_the_same_outputs(seed: int, repeats: int) -> None:
    ids = tokenizer().encode(TEXT)
    told = [(i, token, "length" if i == len(ids) - 1 else "") for i, token in enumerate(ids)]
    straight = stream()
    expected = [o for i, token, why in told for o in straight.push(i, token, None, why)]
    chance = random.Random(seed)
    shuffled = told * (1 + repeats)
    chance.shuffle(shuffled)
    other = stream()
    outputs = [o for i, token, why in shuffled for o in other.push(i, token, None, why)]
    assert outputs == expected
    assert [o.position for o in outputs] == list(range(len(ids)))
    assert "".join(o.text for o in outputs) == tokenizer().decode(ids) == TEXT
    assert [o.finish_reason for o in outputs] == [""] * (len(ids) - 1) + ["length"]
    assert other.push(0, ids[0], None, "") == [] and other.end("cancelled") is None


def test_a_stop_string_ends_it_before_the_string() -> None:
    ids = tokenizer().encode(TEXT)
    one = stream(stop=("34647", "never"))
    outputs = [o for i, token in enumerate(ids) for o in one.push(i, token, None, "")]
    assert "".join(o.text for o in outputs) == "The price of Rasavan-65 is "
    assert outputs[-1].finish_reason == "stop" and len(outputs) < len(ids)


def test_an_end_without_a_token_says_where_it_stood() -> None:
    one = stream()
    ids = tokenizer().encode("one two")
    one.push(0, ids[0], None, "")
    one.push(2, ids[-1], None, "length")  # never delivered: 1 is missing
    output = one.end("error", {"code": "x"})
    assert output is not None
    assert (output.position, output.token_ids, output.finish_reason) == (1, (), "error")
    assert output.num_output_tokens == 1 and output.error == {"code": "x"}
    assert one.push(1, ids[0], None, "") == []


def test_phases_add_up_and_are_told_at_the_end() -> None:
    one = stream()
    one.spend({"queue": 3, "prefill": 5})
    one.spend({"queue": 4})
    assert one.push(0, 65, None, "")[0].times == {}
    assert one.push(1, 65, None, "length")[0].times == {"queue": 7, "prefill": 5}


# -- prompts ---------------------------------------------------------------------------------------


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
    with pytest.raises(ContextTooLong, match=r"91 tokens and max_tokens is 10.*100"):
        check_length(asked(prompt="x"), 91, 100)
