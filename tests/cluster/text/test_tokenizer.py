"""Streamed text equals the text that decoding everything at once gives, cut at the stop string."""

import json
import os
from pathlib import Path

import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st

from cluster.text.detokenizer import IncrementalDetokenizer
from cluster.text.stops import StopMatcher
from cluster.text.tokenizer import LONG_CHARS, Tokenizer
from configs.checkpoint_files import CheckpointError
from workers.errors import InvalidRequest

TEXTS = st.text(st.sampled_from(list("abc dé漢🎉\n<|>")), max_size=40)
SYSTEM = {"role": "system", "content": "You are brief."}
MESSAGES = [SYSTEM, {"role": "user", "content": "Who has 3 cards? 漢"}]


@pytest.fixture(scope="module")
def tokenizer(tiny_model_folder: Path) -> Tokenizer:
    return Tokenizer.load(tiny_model_folder)


@pytest.fixture(scope="module")
def inner(tiny_model_folder: Path) -> tokenizers.Tokenizer:
    return tokenizers.Tokenizer.from_file(str(tiny_model_folder / "tokenizer.json"))


def _copy(source: Path, target: Path, **changes: object) -> Path:
    """The tokenizer's files, with some keys of tokenizer_config.json changed; no template file."""
    config = json.loads((source / "tokenizer_config.json").read_text(encoding="utf-8"))
    (target / "tokenizer_config.json").write_text(json.dumps(config | changes), encoding="utf-8")
    (target / "tokenizer.json").write_bytes((source / "tokenizer.json").read_bytes())
    return target


@given(TEXTS)
def test_text_survives(tokenizer: Tokenizer, inner: tokenizers.Tokenizer, text: str) -> None:
    ids = tokenizer.encode(text)
    assert ids == inner.encode(text, add_special_tokens=False).ids
    assert tokenizer.decode(ids) == text


@given(st.data())
def test_any_tokens_decode_as_the_library_does(
    tokenizer: Tokenizer, inner: tokenizers.Tokenizer, data: st.DataObject
) -> None:
    """Broken UTF-8 and special tokens among them."""
    ids = data.draw(st.lists(st.integers(0, tokenizer.vocab_size - 1), max_size=30))
    assert tokenizer.decode(ids) == inner.decode(ids, skip_special_tokens=True)


@given(st.data())
def test_pieces_add_up_to_the_whole(tokenizer: Tokenizer, data: st.DataObject) -> None:
    """However the tokens are grouped; and nothing incomplete is ever shown."""
    ids = data.draw(st.lists(st.integers(0, tokenizer.vocab_size - 1), max_size=30))
    detokenizer, text = IncrementalDetokenizer(tokenizer), ""
    start = 0
    while start < len(ids):
        count = data.draw(st.integers(1, 3))
        text += detokenizer.push(ids[start : start + count])
        start += count
        assert tokenizer.decode(ids).startswith(text)
    assert text + detokenizer.flush() == tokenizer.decode(ids)


def test_a_split_character_waits(tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode("🎉")
    assert len(ids) > 1
    detokenizer = IncrementalDetokenizer(tokenizer)
    shown = [detokenizer.push([i]) for i in ids]
    assert shown == [""] * (len(ids) - 1) + ["🎉"]
    assert detokenizer.flush() == ""


def _cut(text: str, stops: list[str]) -> str:
    """At the stop string that is complete first; the longest of several."""
    for end in range(len(text) + 1):
        starts = [end - len(s) for s in stops if text[:end].endswith(s)]
        if starts:
            return text[: min(starts)]
    return text


@given(
    st.text("ab", max_size=25),
    st.lists(st.text("ab", min_size=1, max_size=5), max_size=3),
    st.data(),
)
def test_stop_strings_are_found_across_pieces(
    text: str, stops: list[str], data: st.DataObject
) -> None:
    matcher, shown, start = StopMatcher(stops), "", 0
    wanted = _cut(text, stops)
    while start < len(text):
        count = data.draw(st.integers(1, 6))
        shown += matcher.push(text[start : start + count])
        start += count
        assert wanted.startswith(shown)
    shown += matcher.flush()
    assert shown == wanted
    assert matcher.stopped == any(s in text for s in stops)


def test_only_what_may_begin_a_stop_string_waits() -> None:
    matcher = StopMatcher(["</answer>"])
    assert matcher.push("yes<") == "yes"
    assert matcher.push("/b") == "</b"
    assert matcher.push("</ans") == ""
    assert matcher.push("wer>no") == ""
    assert matcher.matched == "</answer>"
    assert (matcher.push("more"), matcher.flush()) == ("", "")


def test_a_character_costs_the_same_however_long_the_stop_strings_are() -> None:
    """4,000 characters that all but complete 4 strings of 1,024: 4 x 4,000 comparisons, twice that
    with those of falling back, some 10 ms; searching what is held took 4,000 x 1,023 x 4.
    """
    import time

    stops = ["a" * 1023 + end for end in "bcde"]
    matcher = StopMatcher(stops)
    begun_ns = time.thread_time_ns()
    shown = "".join(matcher.push("a") for _ in range(4000)) + matcher.flush()
    assert shown == "a" * 4000
    assert time.thread_time_ns() - begun_ns < 200_000_000


@given(st.integers(0, 40), st.text(max_size=20))
def test_a_long_text_has_the_tokens_of_a_short_one_s_kind(
    tokenizer: Tokenizer, repeats: int, text: str
) -> None:
    """Long ones are encoded another way; and no text has fewer tokens than `least_tokens` says."""
    long = text * (LONG_CHARS // max(1, len(text)) + repeats) + "end"
    ids = tokenizer._inner.encode(long, add_special_tokens=False).ids
    assert tokenizer.encode(long) == ids == tokenizer.encode(long)
    assert 0 < tokenizer.least_tokens(long) <= len(ids)


@given(st.data())
def test_streamed_text_is_the_decoded_text_cut(tokenizer: Tokenizer, data: st.DataObject) -> None:
    """Both together, as the router uses them, token by token."""
    text = data.draw(TEXTS)
    stops = data.draw(st.lists(st.text("abc é漢🎉", min_size=1, max_size=3), max_size=2))
    ids = tokenizer.encode(text)
    detokenizer, matcher, shown = IncrementalDetokenizer(tokenizer), StopMatcher(stops), ""
    for token in ids:
        shown += matcher.push(detokenizer.push([token]))
    shown += matcher.push(detokenizer.flush()) + matcher.flush()
    assert shown == _cut(tokenizer.decode(ids), stops)


@pytest.mark.parametrize("add_generation_prompt", [True, False])
def test_chats_render_as_transformers_does(
    tokenizer: Tokenizer, tiny_model_folder: Path, add_generation_prompt: bool
) -> None:
    from transformers import PreTrainedTokenizerFast

    theirs = PreTrainedTokenizerFast.from_pretrained(str(tiny_model_folder))
    rendered = tokenizer.render_chat(MESSAGES, add_generation_prompt)
    assert rendered == theirs.apply_chat_template(
        MESSAGES, tokenize=False, add_generation_prompt=add_generation_prompt
    )
    assert tokenizer.encode(rendered) == theirs.encode(rendered, add_special_tokens=False)


def test_templates_get_the_settings_that_they_are_written_for(
    tiny_model_folder: Path, tmp_path: Path
) -> None:
    template = (
        "{% for m in messages %}\n  {% if m.skip is defined %}\n{% continue %}\n  {% endif %}\n"
        "{{ m | tojson }}{{ eos_token }}\n{% endfor %}"
    )
    folder = _copy(tiny_model_folder, tmp_path, chat_template=template)
    rendered = Tokenizer.load(folder).render_chat(
        [{"role": "user", "content": "<é>"}, {"role": "user", "content": "", "skip": True}]
    )
    assert rendered == '{"role": "user", "content": "<é>"}<|im_end|>\n'


def test_messages_that_the_template_refuses(tokenizer: Tokenizer) -> None:
    with pytest.raises(InvalidRequest, match="unknown role: robot"):
        tokenizer.render_chat([{"role": "robot", "content": "hi"}])
    with pytest.raises(InvalidRequest, match="chat template"):
        tokenizer.render_chat([{"role": "user"}])


def test_templates_cannot_reach_out(tiny_model_folder: Path, tmp_path: Path) -> None:
    """A checkpoint folder is data: its template runs in a sandbox."""
    folder = _copy(tiny_model_folder, tmp_path, chat_template="{{ messages.__class__.__mro__ }}")
    with pytest.raises(InvalidRequest, match="unsafe"):
        Tokenizer.load(folder).render_chat(MESSAGES)


def test_folders_without_template_still_complete_prompts(
    tiny_model_folder: Path, tmp_path: Path
) -> None:
    tokenizer = Tokenizer.load(_copy(tiny_model_folder, tmp_path))
    assert tokenizer.decode(tokenizer.encode("hello")) == "hello"
    with pytest.raises(InvalidRequest, match="no chat template"):
        tokenizer.render_chat(MESSAGES)


def test_broken_folders(tiny_model_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"tokenizer\.json: the file is missing"):
        Tokenizer.load(tmp_path)
    folder = _copy(tiny_model_folder, tmp_path, chat_template="{% for %}")
    with pytest.raises(CheckpointError, match=r"tokenizer_config\.json: chat template, line 1"):
        Tokenizer.load(folder)
    values = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    for changes, words in (
        ({"decoder": None}, "decoder is None.*ByteLevel"),
        ({"model": {"type": "Guess"}}, "is no tokenizer"),
    ):
        (folder / "tokenizer.json").write_text(json.dumps(values | changes), encoding="utf-8")
        with pytest.raises(CheckpointError, match=words):
            Tokenizer.load(folder)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"model": {"vocab": {"a": 2**32 - 1}}}, "has id 4294967295"),
        ({"model": {"vocab": {"a": -1}}}, "has id -1"),
        ({"model": {"vocab": {"a": "b"}}}, "has id 'b'"),
        ({"added_tokens": [{"id": 2**31, "content": "x"}]}, "has id 2147483648"),
        ({"model": {"type": "BPE", "vocab": {}, "merges": [["a", "b"]]}}, "is no tokenizer"),
        ({"model": None}, "is no tokenizer"),
        ({"pre_tokenizer": {"type": "Split", "pattern": {"Regex": "("}}}, "is no tokenizer"),
        ({"decoder": [[[]]]}, "decoder is"),
    ],
)
def test_hostile_tokenizers_are_refused(tiny_model_folder, tmp_path, change, told) -> None:
    described = json.loads((tiny_model_folder / "tokenizer.json").read_text(encoding="utf-8"))
    (tmp_path / "tokenizer.json").write_text(json.dumps(described | change), encoding="utf-8")
    with pytest.raises(CheckpointError, match=told) as caught:
        Tokenizer.load(tmp_path)
    assert len(str(caught.value)) < 500


@pytest.mark.timeout(20)
def test_a_tokenizer_that_is_a_pipe_is_refused(tmp_path) -> None:
    os.mkfifo(tmp_path / "tokenizer.json")
    with pytest.raises(CheckpointError, match="is a pipe"):
        Tokenizer.load(tmp_path)
