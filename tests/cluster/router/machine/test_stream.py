"""A stream delivers each position once and in order, whatever order chips tell them in."""

import random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from cluster.api.output import Output
from cluster.router.machine.sampled import Logprob, SampledToken
from cluster.router.machine.state import RequestState
from cluster.router.machine.stream import contradicts, end, push
from cluster.router.machine.text import Texts
from tests.cluster.router.machine.requests import request_state, tokenizer

TEXT = "The price of Rasavan-65 is 34647 USD, for the Tamavan-69 it is 9.3 V \u20ac\u20ac."


def token(position: int, token_id: int, reason: str = "", **fields: object) -> SampledToken:
    more: Any = fields
    return SampledToken("r", "decode", position, token_id, finish_reason=reason, **more)


def push_all(request: RequestState, tokens: list[SampledToken], texts: Texts) -> list[Output]:
    return [said.output for each in tokens for said in push(request, each, texts)]


@given(st.integers(0, 2**30), st.integers(0, 3), st.integers(0, 80))
def test_any_order_repetition_and_restart_give_the_same_outputs(
    seed: int, repeats: int, restart: int
) -> None:
    """Also when detokenizer and stop matcher are lost on the way: tokens bring them back."""
    ids = tokenizer().encode(TEXT)
    told = [token(i, each, "length" if i == len(ids) - 1 else "") for i, each in enumerate(ids)]
    expected = push_all(request_state("r"), told, Texts(tokenizer()))
    shuffled = told * (1 + repeats)
    random.Random(seed).shuffle(shuffled)
    request = request_state("r")
    outputs = push_all(request, shuffled[:restart], Texts(tokenizer()))
    outputs += push_all(request, shuffled[restart:], Texts(tokenizer()))
    assert outputs == expected
    assert [o.position for o in outputs] == list(range(len(ids)))
    assert "".join(o.text for o in outputs) == tokenizer().decode(ids) == TEXT
    assert [o.finish_reason for o in outputs] == [""] * (len(ids) - 1) + ["length"]
    assert push_all(request, told, Texts(tokenizer())) == [] == end(request, "cancelled")
    assert request.stream.tokens == ids and request.stream.early == []


def test_a_stop_string_ends_it_before_the_string_also_over_a_restart() -> None:
    ids = tokenizer().encode(TEXT)
    for restart in range(len(ids)):
        request = request_state("r", stop=("34647", "never"))
        tokens = [token(i, each) for i, each in enumerate(ids)]
        told = push_all(request, tokens[:restart], Texts(tokenizer()))
        told += push_all(request, tokens[restart:], Texts(tokenizer()))
        assert "".join(o.text for o in told) == "The price of Rasavan-65 is "
        assert told[-1].finish_reason == "stop" and len(told) < len(ids)


def test_an_end_without_a_token_says_where_it_stood() -> None:
    request, texts = request_state("r"), Texts(tokenizer())
    ids = tokenizer().encode("one two")
    push(request, token(0, ids[0]), texts)
    push(request, token(2, ids[-1], "length"), texts)  # never delivered: 1 is missing
    (said,) = end(request, "error", {"code": "x"})
    output = said.output
    assert (output.position, output.token_ids, output.finish_reason) == (1, (), "error")
    assert output.num_output_tokens == 1 and output.error == {"code": "x"}
    assert push(request, token(1, ids[0]), texts) == []


def test_phases_add_up_and_are_told_at_the_end() -> None:
    request, texts = request_state("r"), Texts(tokenizer())
    request.spend("queue", 3)
    request.spend("prefill", 5)
    request.spend("queue", 4)
    assert push(request, token(0, 65), texts)[0].output.times == {}
    times = push(request, token(1, 65, "length"), texts)[0].output.times
    assert times == {"queue": 7, "prefill": 5}


def test_log_probabilities_get_their_texts_and_logits_go_along() -> None:
    a, b = (tokenizer().encode(letter)[0] for letter in "ab")
    told = token(0, a, logprob=Logprob(-0.5, ((a, -0.5), (b, -1.5))), logits=b"\0\0\x80?")
    (said,) = push(request_state("r"), told, Texts(tokenizer()))
    (logprob,) = said.output.logprobs
    assert (logprob.token_id, logprob.data, logprob.logprob) == (a, b"a", -0.5)
    assert logprob.top == ((a, b"a", -0.5), (b, b"b", -1.5))
    assert said.logits == b"\0\0\x80?"


def test_a_text_goes_on_and_is_made_again_only_when_it_was_dropped() -> None:
    """Else each token would cost as much as all before it."""
    request, texts = request_state("r"), Texts(tokenizer())
    kept = texts.of(request)
    push(request, token(0, 65), texts)
    assert texts.of(request) is kept
    texts.drop("r")
    texts.drop("r")
    assert texts.of(request) is not kept


def test_another_token_at_a_delivered_position_is_noticed() -> None:
    request, texts = request_state("r"), Texts(tokenizer())
    push(request, token(0, 65), texts)
    assert contradicts(request, token(0, 66))
    assert not contradicts(request, token(0, 65)) and not contradicts(request, token(1, 66))


def test_an_end_token_stays_out_of_the_text_and_says_so() -> None:
    """Ordinary ids may end it (stop_token_ids); special ones are never text."""
    (a,) = tokenizer().encode("a")
    special = min(tokenizer().special_ids)
    told = [token(0, a), token(1, special), token(2, a, "stop")]
    told = [each._replace(logprob=Logprob(-0.5)) for each in told]
    outputs = push_all(request_state("r"), told, Texts(tokenizer()))
    assert [output.text for output in outputs] == ["a", "", ""]
    assert [output.token_ids for output in outputs] == [(a,), (special,), (a,)]
    assert [output.logprobs[0].shown for output in outputs] == [True, False, False]


def test_before_min_tokens_a_stop_string_is_text_and_may_begin_one_that_is_not() -> None:
    """Of "ababab", "abab" is complete with the fourth token, and again with the sixth."""
    letters = [tokenizer().encode(letter)[0] for letter in "ababab"]
    for min_tokens, shown in ((0, ""), (4, "ab"), (5, "ab"), (6, "ababab")):
        for restart in range(7):
            request = request_state("r", stop=("abab",), min_tokens=min_tokens)
            told = [token(i, each, "length" if i == 5 else "") for i, each in enumerate(letters)]
            outputs = push_all(request, told[:restart], Texts(tokenizer()))
            outputs += push_all(request, told[restart:], Texts(tokenizer()))
            assert "".join(output.text for output in outputs) == shown
            assert outputs[-1].finish_reason == ("length" if min_tokens == 6 else "stop")
