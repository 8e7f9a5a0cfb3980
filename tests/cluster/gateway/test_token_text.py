"""Log-probabilities in answers: ids and bytes decide, texts are how they show."""

from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from cluster.api.output import Output, TokenLogprob
from cluster.gateway.chat_form import ChatForm
from cluster.gateway.completion_form import CompletionForm
from cluster.gateway.progress import Progress
from cluster.gateway.token_text import TextOffsets

PARTY = "\U0001f389".encode()  # four bytes


def told(*datas: bytes, **fields: Any) -> list[TokenLogprob]:
    return [TokenLogprob(i, data, -1.0, **fields) for i, data in enumerate(datas)]


def whole(form: Any, tokens: list[TokenLogprob]) -> Any:
    progress = Progress(keep=True)
    ids = tuple(token.token_id for token in tokens)
    progress.add(Output("r", 0, ids, "", tuple(tokens), "stop"))
    return form.choice(0, progress, 0)["logprobs"]


def streamed(tokens: list[TokenLogprob]) -> Any:
    progress, rows = Progress(keep=False), []
    for i, token in enumerate(tokens):
        output = Output("r", i, (token.token_id,), "", (token,))
        raw = CompletionForm().delta(0, output, progress, i == 0)
        rows.append(orjson.loads(raw + b"}")["logprobs"])
    return {key: [value for row in rows for value in row[key]] for key in rows[0]}


def test_special_tokens_take_no_place_in_the_text() -> None:
    """`<|im_start|>` is not in "abc": c stands at 2, as it would without it."""
    tokens = told(b"ab", b"<|im_start|>", b"c")
    tokens[1] = TokenLogprob(9, b"<|im_start|>", -1.0, shown=False)
    for found in (whole(CompletionForm(), tokens), streamed(tokens)):
        assert found["tokens"] == ["ab", "<|im_start|>", "c"]
        assert found["text_offset"] == [0, 2, 2]


def test_parts_of_a_character_have_bytes_and_the_place_of_the_character() -> None:
    tokens = told(b"a", PARTY[:2], PARTY[2:], b"b")
    for found in (whole(CompletionForm(), tokens), streamed(tokens)):
        assert found["tokens"] == ["a", "bytes:\\xf0\\x9f", "bytes:\\x8e\\x89", "b"]
        assert found["text_offset"] == [0, 1, 1, 2]
    content = whole(ChatForm(), tokens)["content"]
    assert [entry["token"] for entry in content] == ["a", "\\xf0\\x9f", "\\x8e\\x89", "b"]
    assert b"".join(bytes(entry["bytes"]) for entry in content).decode() == "a\U0001f389b"


def test_tokens_of_one_text_keep_their_probabilities_apart() -> None:
    """Two halves of characters that would both show as U+FFFD, and two ids of the same bytes."""
    top = ((1, b"\xf0\x9f", -0.1), (2, b"\xe2\x80", -0.2), (3, b"x", -0.3), (4, b"x", -0.4))
    chosen = TokenLogprob(4, b"x", -0.4, top)
    (found,) = whole(CompletionForm(), [chosen])["top_logprobs"]
    assert found == {
        "bytes:\\xf0\\x9f": -0.1, "bytes:\\xe2\\x80": -0.2, "token_id:3": -0.3, "x": -0.4,
    }  # fmt: skip
    shown = whole(ChatForm(), [chosen])["content"][0]["top_logprobs"]
    assert [entry["logprob"] for entry in shown] == [-0.1, -0.2, -0.3, -0.4]


def test_the_chosen_token_is_always_among_them() -> None:
    chosen = TokenLogprob(7, b"rare", -5.0, ((1, b"the", -0.1),))
    assert whole(CompletionForm(), [chosen])["top_logprobs"] == [{"the": -0.1, "rare": -5.0}]
    shown = whole(ChatForm(), [chosen])["content"][0]["top_logprobs"]
    assert [entry["token"] for entry in shown] == ["the", "rare"]
    alone = TokenLogprob(7, b"rare", -5.0)
    assert whole(CompletionForm(), [alone])["top_logprobs"] == [{"rare": -5.0}]
    assert whole(ChatForm(), [alone])["content"][0]["top_logprobs"] == []


@given(st.lists(st.binary(min_size=1, max_size=5), max_size=8), st.text(max_size=6), st.data())
def test_offsets_are_where_the_text_has_the_tokens(
    broken: list[bytes], text: str, data: st.DataObject
) -> None:
    """A text split anywhere, among bytes that are none: each token that is text by itself stands
    at its offset in what decoding all at once gives.
    """
    raw, pieces = text.encode(), []
    while raw:
        count = data.draw(st.integers(1, len(raw)))
        pieces.append(raw[:count])
        raw = raw[count:]
    datas = data.draw(st.permutations(pieces + broken))
    shown = b"".join(datas).decode(errors="replace")
    offsets = TextOffsets()
    for token in told(*datas):
        begins = offsets.next(token)
        try:
            spelled = token.data.decode()
        except UnicodeDecodeError:
            assert begins <= len(shown)
        else:
            assert shown[begins : begins + len(spelled)] == spelled
