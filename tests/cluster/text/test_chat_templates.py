"""What chat templates are written in, each beside `transformers` and beside a text made by hand."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from cluster.text.tokenizer import Tokenizer
from configs.checkpoint_files import CheckpointError
from workers.errors import InvalidRequest

USER: dict[str, Any] = {"role": "user", "content": "Hi <b> é"}
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"b": 1, "a": [1, "é"]}}}
CALL = {"type": "function", "function": {"name": "f", "arguments": {"x": "<&>"}}}
CALLED = [USER, {"role": "assistant", "content": None, "tool_calls": [CALL]}]
PARTS = [
    {"role": "user", "content": [{"type": "text", "text": "A"}, {"type": "text", "text": "B"}]}
]
THOUGHT = [USER, {"role": "assistant", "content": "yes", "reasoning": "hm"}]
EACH = "{% for m in messages %}"

# name: template, messages, tools, and what comes out by hand
CASES: dict[str, tuple[str, list[dict[str, Any]], list[Any], str]] = {
    "generation": (
        "{% set x = 1 %}" + EACH + "{%- generation -%} {{ m.content }}{% set x = 2 %} "
        "{%- endgeneration -%}{{ x }}{% endfor %}",
        [USER], [], "Hi <b> é1",
    ),
    "loop controls": (
        "{% for i in range(9) %}{% if i == 1 %}{% continue %}{% endif %}{% if i == 4 %}{% break %}"
        "{% endif %}{{ i }}{% endfor %}",
        [USER], [], "023",
    ),
    "trimmed blocks": (
        "a\n  {% if true %}\n  b\n  {% endif %}\n{{ 'c' }}\n", [USER], [], "a\n  b\nc",
    ),
    "tojson": (
        "{{ tools | tojson }}",
        [USER], [TOOL],
        '[{"type": "function", "function": {"name": "f", "parameters": {"b": 1, "a": [1, "é"]}}}]',
    ),
    "tojson escapes nothing for HTML": (
        "{{ messages[1].tool_calls[0].function.arguments | tojson }}", CALLED, [], '{"x": "<&>"}',
    ),
    "tojson, ASCII": ("{{ 'é<' | tojson(true) }}", [USER], [], '"\\u00e9<"'),
    "tojson, separators": (
        "{{ {'b': [1, 2], 'a': none} | tojson(separators=(',', ':'), sort_keys=true) }}",
        [USER], [], '{"a":null,"b":[1,2]}',
    ),
    "tojson, indent": (
        "{{ {'b': [1], 'a': {}} | tojson(indent=2, sort_keys=true) }}",
        [USER], [], '{\n  "a": {},\n  "b": [\n    1\n  ]\n}',
    ),
    "no tools are none": ("{{ tools is none }}{{ documents is none }}", [USER], [], "TrueTrue"),
    "null is missing": ("{{ messages[1].content is defined }}", CALLED, [], "False"),
    "reasoning": (
        "{{ messages[1].reasoning_content }}{{ messages[1].thinking }}", THOUGHT, [], "hmhm",
    ),
    "parts": (
        EACH + "{% for p in m.content %}{{ p.text if p.type == 'text' }}{% endfor %}{% endfor %}",
        PARTS, [], "AB",
    ),
    "special tokens": (
        "{{ bos_token }}|{{ eos_token }}|{{ image_token }}|{{ no_token }}",
        [USER], [], "<|im_start|>|<|im_end|>|<img>|",
    ),
    "namespaces, cyclers, joiners": (
        "{% set ns = namespace(a=1) %}{% set c = cycler('x', 'y') %}{% set j = joiner(', ') %}"
        "{% for i in range(3) %}{{ j() }}{{ c.next() }}{% set ns.a = ns.a + i %}{% endfor %}"
        "{{ ns.a }}",
        [USER], [], "x, y, x4",
    ),
    "sums, groups, batches": (
        "{{ [1, 2, 3] | sum }}{{ [{'n': 2}, {'n': 5}] | sum(attribute='n') }} "
        "{%- for k, g in [{'r': 'b', 'n': 1}, {'r': 'a', 'n': 2}] | groupby('r') %}{{ k }}"
        "{{ g | map(attribute='n') | list }}{% endfor %}"
        "{{ [1, 2, 3] | batch(2, 0) | list }}{{ [1, 2, 3] | slice(2) | list }}",
        [USER], [], "67a[2]b[1][[1, 2], [3, 0]][[1, 2], [3]]",
    ),
    "formats": (
        "{{ '%s=%05d' | format('a', 42) }}{{ 'x' | center(3) }}"
        "{{ '{:>4}|{}'.format('a', 12345678) }}"
        "{{ '%.1f' % 2.25 }}{{ 'a'.ljust(3) }}{{ 'a\tb'.expandtabs(4) }}",
        [USER], [], "a=00042 x    a|123456782.2a  a   b",
    ),
    "dicts": (
        "{{ dict(a=1, **{'b': 2}) }}{{ dict.fromkeys(['k'], 0) }}",
        [USER], [], "{'a': 1, 'b': 2}{'k': 0}",
    ),
    "indents": ("{{ 'a\nb' | indent(2, first=true) }}", [USER], [], "  a\n  b"),
    "what is not there": ("{{ nothing }}{{ messages[0].nothing }}.", [USER], [], "."),
    "macros with callers": (
        "{% macro w(x) %}<{{ x }}{{ caller() }}>{% endmacro %}{% call w('a') %}b{% endcall %}",
        [USER], [], "<ab>",
    ),
}  # fmt: skip

# Refused by both.
REFUSED = {
    "raise_exception": "{{ raise_exception('one user only') }}",
    "Python's own": "{{ ''.__class__.__mro__ }}",
    "lists that change": "{{ messages.append(1) }}",
    "dicts that change": "{% set x = messages[0].update({'a': 1}) %}",
    "dict's own methods": "{{ dict.clear(messages[0]) }}",
    "underscored names": "{% set ns = namespace(_a=1) %}",
    "JSON of what is not there": "{{ nothing | tojson }}",
    "what is in nothing": "{{ nothing.at.all }}",
    "additions of what is unlike": "{{ 'a' + 1 }}",
    "no such filter": "{{ 1 | nonsense }}",
}

SPECIAL = {"eos_token": "<|im_end|>", "bos_token": "<|im_start|>", "image_token": "<img>"}


@pytest.fixture
def folder(tiny_model_folder: Path, tmp_path: Path) -> Path:
    """The shipped tokenizer, without a template."""
    for name in ("tokenizer.json",):
        (tmp_path / name).write_bytes((tiny_model_folder / name).read_bytes())
    return tmp_path


def write(folder: Path, **config: Any) -> Path:
    (folder / "tokenizer_config.json").write_text(json.dumps({**SPECIAL, **config}))
    return folder


def theirs(folder: Path, messages: list[Any], tools: list[Any], **names: Any) -> str:
    from transformers import PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast.from_pretrained(str(folder))
    return str(
        tokenizer.apply_chat_template(messages, tools=tools or None, tokenize=False, **names)
    )


def ours(folder: Path, messages: list[Any], tools: list[Any], **names: Any) -> str:
    tokenizer = Tokenizer.load(folder)
    return tokenizer.render_chat(messages, False, tools=tools, variables=names)


@pytest.mark.parametrize("name", CASES)
def test_it_is_rendered_as_transformers_does(name: str, folder: Path) -> None:
    template, messages, tools, by_hand = CASES[name]
    write(folder, chat_template=template)
    assert ours(folder, messages, tools) == by_hand
    assert theirs(folder, messages, tools) == by_hand


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused_by_both(name: str, folder: Path) -> None:
    write(folder, chat_template=REFUSED[name])
    with pytest.raises((InvalidRequest, CheckpointError)) as caught:
        ours(folder, [USER], [])
    assert len(str(caught.value)) < 500 and "\n" not in str(caught.value)
    with pytest.raises(Exception):  # noqa: B017 - whatever they raise
        theirs(folder, [USER], [])


def test_dates_are_today_s(folder: Path) -> None:
    write(folder, chat_template="{{ strftime_now('%d %b %Y %%') }}{{ strftime_now(format='%j') }}")
    when = datetime(2026, 3, 1, 12)
    assert Tokenizer.load(folder, lambda: when).render_chat([USER]) == "01 Mar 2026 %060"
    assert ours(folder, [USER], []) == theirs(folder, [USER], [])


def test_variables_and_documents_reach_the_template(folder: Path) -> None:
    write(folder, chat_template="{{ enable_thinking }}{{ documents }}{{ add_generation_prompt }}")
    documents = [{"title": "t", "text": "d"}]
    tokenizer = Tokenizer.load(folder)
    shown = tokenizer.render_chat(
        [USER], documents=documents, variables={"enable_thinking": False, "bos_token": "x"}
    )
    assert shown == "False[{'title': 't', 'text': 'd'}]True"
    assert shown == theirs(
        folder, [USER], [], documents=documents, enable_thinking=False, add_generation_prompt=True
    )


NAMED = [{"name": "default", "template": "plain"}, {"name": "tool_use", "template": "tools"}]


def test_several_templates_by_name(folder: Path) -> None:
    """In the configuration; files beside it count instead of all of that."""
    write(folder, chat_template=NAMED)
    for tools, text in (([], "plain"), ([TOOL], "tools")):
        assert ours(folder, [USER], tools) == theirs(folder, [USER], tools) == text
    (folder / "chat_template.jinja").write_text("file")
    for tools in ([], [TOOL]):
        assert ours(folder, [USER], tools) == theirs(folder, [USER], tools) == "file"
    (folder / "additional_chat_templates").mkdir()
    (folder / "additional_chat_templates" / "tool_use.jinja").write_text("file for tools")
    for tools, text in (([], "file"), ([TOOL], "file for tools")):
        assert ours(folder, [USER], tools) == theirs(folder, [USER], tools) == text
    (folder / "chat_template.jinja").unlink()
    assert ours(folder, [USER], [TOOL]) == theirs(folder, [USER], [TOOL]) == "file for tools"
    with pytest.raises(InvalidRequest, match="none is called 'default', only tool_use"):
        ours(folder, [USER], [])
    with pytest.raises(ValueError, match="no default"):
        theirs(folder, [USER], [])


@pytest.mark.parametrize(
    ("stated", "told"),
    [
        ({"a": 1}, "chat_template is a dict; it must be a string, or a list of objects"),
        ([{"name": "default"}], "has the entry .*each must be an object with a name and a templ"),
        ([3], "has the entry 3"),
        ([{"name": str(i), "template": ""} for i in range(99)], "has 99 chat templates"),
        ("x" * 200_000, "has 200000 characters"),
        ([NAMED[0], {"name": "tool_use", "template": "{% for %}"}], "chat template, line 1"),
    ],
)
def test_malformed_configurations_are_refused(folder: Path, stated: Any, told: str) -> None:
    write(folder, chat_template=stated)
    with pytest.raises(CheckpointError, match=told) as caught:
        Tokenizer.load(folder)
    assert len(str(caught.value)) < 500 and "tokenizer_config.json" in str(caught.value)


def test_tokens_of_an_older_folder(folder: Path) -> None:
    """Without `added_tokens_decoder` a second file says them; with it, that file says nothing."""
    (folder / "chat_template.jinja").write_text("{{ bos_token }}{{ eos_token }}{{ audio_token }}")
    tokens = {"bos_token": {"content": "<|im_end|>", "special": True}}
    (folder / "special_tokens_map.json").write_text(json.dumps(tokens))
    write(folder, extra_special_tokens={"audio_token": "<au>"})
    assert ours(folder, [USER], []) == theirs(folder, [USER], []) == "<|im_end|><|im_end|><au>"
    added = {"1": {"content": "<|im_start|>", "special": True}}
    write(folder, added_tokens_decoder=added)
    assert ours(folder, [USER], []) == theirs(folder, [USER], []) == "<|im_start|><|im_end|>"


TEXTS = EACH + "{{ m.content }}.{% endfor %}"
LISTS = EACH + "{% for p in m.content %}{{ p.text }}{% endfor %}.{% endfor %}"
BOTH = EACH + "{% if m.content is string %}{{ m.content }}{% else %}{% for p in m.content %}"
BOTH += "{{ p.text }}{% endfor %}{% endif %}.{% endfor %}"


@pytest.mark.parametrize(
    ("template", "of_parts"), [(TEXTS, "A\nB."), (LISTS, "AB."), (BOTH, "AB.")]
)
def test_no_shape_of_contents_is_lost(folder: Path, template: str, of_parts: str) -> None:
    """A template that iterates over parts alone would print nothing of a text, and one that prints
    texts alone a list as Python writes it.
    """
    tokenizer = Tokenizer.load(write(folder, chat_template=template))
    assert tokenizer.render_chat(tokenizer.fitted([USER]), False) == "Hi <b> é."
    assert tokenizer.render_chat(tokenizer.fitted(PARTS), False) == of_parts
