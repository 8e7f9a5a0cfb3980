"""Chat templates that would never end, or never fit: one line each, soon, in little memory."""

import resource
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.text.bounded_jinja import BoundedEnvironment, render
from cluster.text.budget import SECONDS_MAX
from cluster.text.growth import TooMuch
from cluster.text.template import ChatTemplates, load_template
from configs.checkpoint_files import CheckpointError

MESSAGES = [{"role": "user", "content": "hello " * 5, "n": i} for i in range(4)]
FAMILIES = sorted((Path(__file__).parent / "families").glob("*.jinja"))
LOOP3 = "{% for a in range(99999) %}" * 3 + "x" + "{% endfor %}" * 3
MACRO = "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}"
DOUBLE = "{% set ns = namespace(x='x') %}{% for i in range(100) %}"

HOSTILE = {
    "nested loops": LOOP3,
    "a macro that calls itself twice": MACRO,
    "a macro without end": "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "repetition": "{{ 'x' * 10**10 }}",
    "repetition from the left": "{{ 10**10 * 'x' }}",
    "lists": "{{ [0] * 10**10 }}",
    "powers": "{{ 10 ** (10 ** 8) }}",
    "squares": "{% set ns = namespace(x=3) %}{% for i in range(99) %}{% set ns.x = ns.x * ns.x %}"
    "{% endfor %}",
    "doubling by +": DOUBLE + "{% set ns.x = ns.x + ns.x %}{% endfor %}",
    "doubling by ~": DOUBLE + "{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
    "doubling by ~ in a call": DOUBLE + "{% set ns.x = (ns.x ~ ns.x).strip() %}{% endfor %}",
    "doubling by blocks": DOUBLE + "{% set ns.x %}{{ ns.x }}{{ ns.x }}{% endset %}{% endfor %}",
    "doubling by join": DOUBLE + "{% set ns.x = [ns.x, ns.x] | join %}{% endfor %}",
    "doubling by a method": DOUBLE + "{% set ns.x = ''.join([ns.x, ns.x]) %}{% endfor %}",
    "doubling by replace": DOUBLE + "{% set ns.x = ns.x.replace('x', 'xx') %}{% endfor %}",
    "doubling by a filter": DOUBLE + "{% set ns.x = ns.x | replace('x', 'xx') %}{% endfor %}",
    "doubling by %": DOUBLE + "{% set ns.x = '%s%s' % (ns.x, ns.x) %}{% endfor %}",
    "doubling by format": DOUBLE + "{% set ns.x = '{0}{0}'.format(ns.x) %}{% endfor %}",
    "doubling lists": DOUBLE + "{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x | tojson }}",
    "doubling lists compared": "{% set a = namespace(x=1, y=1) %}{% for i in range(100) %}"
    "{% set a.x = [a.x, a.x] %}{% set a.y = [a.y, a.y] %}{% endfor %}{{ a.x == a.y }}",
    "doubling by names": "".join(
        f"{{% set a{i + 1} = {{'k': a{i}, 'l': a{i}}} %}}" for i in range(60)
    )
    + "{{ a60 }}",
    "copies kept": "{% set ns = namespace(l=[]) %}{% for i in range(9999) %}"
    "{% set ns.l = ns.l + ['x' * 1000000] %}{% endfor %}",
    "slices kept": "{% set s = 'x' * 9999999 %}{% set ns = namespace(l=[]) %}"
    "{% for i in range(9999) %}{% set ns.l = ns.l + [s[1:]] %}{% endfor %}",
    "width by method": "{{ 'x'.center(10**10) }}",
    "width by %": "{{ '%10000000000d' % 1 }}",
    "width by % from an argument": "{{ '%*d' % (10000000000, 1) }}",
    "width by format": "{{ '{:10000000000}'.format(1) }}",
    "width by format from an argument": "{{ '{:{}}'.format(1, 10000000000) }}",
    "tabs": "{{ ('\\t' * 10000).expandtabs(100000) }}",
    "zeros": "{{ '1'.zfill(10000000000) }}",
    "indent": "{{ [1] | tojson(indent=10000000000) }}",
    "text": "{% for i in range(99999) %}" + "x" * 5000 + "{% endfor %}",
    "a long range": "{{ range(10**15) | list }}",
    "a range as arguments": "{{ dict(*range(10**9)) }}",
    "ranges inside one another": "{% for i in range(9999) %}{% for j in range(i, 9999) %}x"
    "{% endfor %}{% endfor %}",
    "ranges of ranges": "{% for i in range(9999) %}{{ range(99999) | list | length }}{% endfor %}",
    "indents inside one another": "{% set ns = namespace(x=[0] * 99999) %}{% for i in range(900) %}"
    "{% set ns.x = [ns.x] %}{% endfor %}{{ ns.x | tojson(indent=16) }}",
    "indent of text": "{{ [1] * 9999 | tojson(indent='x' * 100000) }}",
    "separators": "{{ ([1] * 99999) | tojson(separators=('x' * 9999, ':')) }}",
    "dates": "{% for i in range(99999) %}{{ strftime_now('%Y' * 500) }}{% endfor %}",
    "a long date": "{{ strftime_now('%Y' * 100000) }}",
    "joins of what is made as it goes": "{{ ('x' * 999999).join(range(99999) | map('string')) }}",
    "dict's own methods": "{{ dict.update(messages[0], role='system') }}",
    "what a namespace may not keep": "{% set ns = namespace() %}{% set ns.__class__ = 1 %}",
    "nor from its start": "{{ namespace(__class__=1) }}",
    "batches filled up": "{{ [1] | batch(10**9, 'x') | list }}",
    "slices without end": "{{ [1] | slice(10**9) | list }}",
    "sums that double": "{{ (['xxxxxxxx'] * 9999 * 999) | sum(start='') }}",
    "width by the filter": "{{ '%*d' | format(10000000000, 1) }}",
    "a generation without end": "{% generation %}" + LOOP3 + "{% endgeneration %}",
    "a generation not ended": "{% generation %}x",
    "lorem ipsum": "{{ lipsum(n=100000) }}",
    "width by a filter": "{{ 'x' | center(10000000000) }}",
    "a filter left out": "{{ [1, 2] | random }}",
    "deep brackets": "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}",
    "deep lists": "{{ " + "[" * 3000 + "]" * 3000 + " }}",
    "deep blocks": "{% if 1 %}" * 3000 + "{% endif %}" * 3000,
    "deep loops": "{% for a in [1] %}" * 60 + "{% endfor %}" * 60,
    "a long number": "{{ " + "9" * 6000 + " }}",
    "a long source": "x" * 200_000,
    "division by zero": "{{ 1 / 0 }}",
    "nothing": "{{ nothing.at.all }}",
    "no function": "{{ messages() }}",
    "innards": "{{ ''.__class__.__mro__ }}",
    "no index": "{{ messages[99].content.x.y }}",
    "an unknown filter": "{{ 1 | nonsense }}",
    "no syntax": "{% for %}",
    "a loop over nothing": "{% for x in 3 %}{% endfor %}",
    "huge slices": "{{ 'abc'[::0] }}",
}


def outcome(source: str, tmp_path: Path) -> tuple[str, str]:
    """("refused", why) or ("text", it), as the tokenizer would have it."""
    from cluster.text.tokenizer import Tokenizer
    from workers.errors import InvalidRequest

    (tmp_path / "chat_template.jinja").write_text(source)
    tokenizer: Any = object.__new__(Tokenizer)
    try:
        tokenizer._template = load_template(tmp_path, {})
        return "text", tokenizer.render_chat(MESSAGES)
    except (CheckpointError, InvalidRequest) as error:
        return "refused", str(error)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", HOSTILE)
def test_templates_end(name: str, tmp_path: Path) -> None:
    """Within the seconds of a render, and 1 GiB more than before at the very most."""
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begun = time.thread_time()
    kind, text = outcome(HOSTILE[name], tmp_path)
    assert time.thread_time() - begun < SECONDS_MAX + 3
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib < 1 << 20
    assert kind == "refused" and text and len(text) < 600


GOOD = """{%- macro shout(x, times=2) -%}{{ (x | upper ~ '!') * times }}{%- endmacro -%}
{%- set ns = namespace(seen=0) -%}
{%- for message in messages if message['n'] != 1 -%}
{%- set ns.seen = ns.seen + 1 -%}
{{ '<|' ~ message.role + '|>' }}{{ loop.index0 }}/{{ loop.length }}{{ ',' if not loop.last }}
{{- message.content[2:-1:2] | trim }}{{ message['content'].split(' ')[0].replace('l', 'L') }}
{%- if loop.first and loop.nextitem is defined %}{{ shout('a', times=3) }}{% endif %}
{%- endfor -%}
{{ messages | map(attribute='n') | join('-') }}{{ [1, 'é', {'a': none}] | tojson }}
{{- range(3) | list }}{{ 'n=%d' % ns.seen }}{{ '{} {}'.format(1, 2) }}{{ messages[::-1][0].n }}
{%- for k, v in {'a': 1, 'b': [1, 2]}.items() %}{{ k }}{{ v }}{% endfor %}
{%- for x in [] %}{% else %}none{% endfor -%}
{%- for x in [1, 2, 3, 4] %}{% if x == 2 %}{% continue %}{% endif %}{{ x }}{% if x == 3 %}
{%- break %}{% endif %}{% endfor %}{{ ns.seen ** 2 // 2 }}{{ 'user' in messages[0].role }}"""


def test_what_templates_do_is_done_as_by_jinja_itself() -> None:
    """The same text from the sandbox that has no bounds."""
    import json

    import jinja2.ext
    import jinja2.sandbox

    free = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[jinja2.ext.loopcontrols]
    )

    def to_json(value: Any) -> str:
        return json.dumps(value, ensure_ascii=False)

    free.filters["tojson"] = to_json
    bounded = BoundedEnvironment({"tojson": to_json})
    want = free.from_string(GOOD).render(messages=MESSAGES)
    assert render(bounded.from_string(GOOD), {"messages": MESSAGES}) == want
    assert "<|user|>0/3" in want and "A!A!A!" in want


def test_a_long_conversation_fits_the_budget(tiny_model_folder: Path) -> None:
    """10,000 messages and 4 MiB of text, in the shipped template and in the one above."""
    messages = [{"role": "user", "content": "x" * 400, "n": i} for i in range(10_000)]
    environment = BoundedEnvironment({"tojson": str})
    assert len(render(environment.from_string(GOOD), {"messages": messages})) > 1_000_000
    templates = load_template(tiny_model_folder, {})
    assert templates is not None
    one = [{"role": "user", "content": "x" * (4 << 20)}]
    names = {"add_generation_prompt": True}
    assert len(templates.choose(None).render(one, names)) > 4 << 20


@pytest.mark.parametrize("path", FAMILIES, ids=lambda path: path.stem)
def test_so_does_one_of_thousands_of_turns(path: Path) -> None:
    """In the manner of each named family: what costs a step for every message, with each message,
    would refuse it.
    """
    turns: list[dict[str, str]] = []
    for i in range(1500):
        turns += [{"role": "user", "content": f"{i}?"}, {"role": "assistant", "content": f"{i}!"}]
    source = {"default": (path, path.read_text(encoding="utf-8"))}
    template = ChatTemplates(source, {"bos_token": "", "eos_token": ""}, datetime.now).choose(None)
    names = {"tools": None, "add_generation_prompt": False}
    shown = template.render(turns, names)
    assert all(f"{i}?" in shown and f"{i}!" in shown for i in (0, 750, 1499))


def test_ranges_cost_what_is_gone_through() -> None:
    environment = BoundedEnvironment({})
    source = "{% for i in range(3000) %}{% for j in range(i, 3000) %}{% break %}{% endfor %}"
    assert render(environment.from_string(source + "{% endfor %}done"), {}) == "done"


def test_budgets_are_each_renders_own() -> None:
    environment = BoundedEnvironment({})
    loop = "{% for i in range(600000) %}{% endfor %}"
    for _ in range(3):
        assert render(environment.from_string(loop + "done"), {}) == "done"
    with pytest.raises(TooMuch):
        render(environment.from_string(loop + loop), {})


PIECES = [
    "{% for x in messages %}", "{% endfor %}", "{{ x }}", "{{ messages | length }}", "{% if x %}",
    "{% endif %}", "{{ 'a' * 9 }}", "{{ x.role ~ 1 }}", "{% set x = 1 %}", "{{ range(99) | list }}",
    "{{ x[1:] }}", "{{ x | join('a') }}", "{{ 2 ** 999999 }}", "{% macro f() %}", "{% endmacro %}",
    "{{ f() }}", "{% break %}", "{% set x %}", "{% endset %}", "{{ '%s' % x }}", "{{ x() }}",
    "{%", "}}",
]  # fmt: skip


@settings(max_examples=200)
@given(pieces=st.lists(st.sampled_from(PIECES) | st.text(max_size=4), max_size=12))
def test_any_template_is_rendered_or_refused(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[str]
) -> None:
    kind, text = outcome("".join(pieces), tmp_path_factory.getbasetemp())
    assert kind == "text" or text
