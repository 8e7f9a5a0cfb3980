"""Calls as each family of models writes them, whole and in pieces of any size."""

import pytest

from cluster.text.tool_calls.events import Argued, Begun, Said, Thought
from cluster.text.tool_calls.formats import FORMATS, format_of, shows_tools

TOOLS = {
    "weather": {
        "type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
    },
    "now": {"type": "object", "properties": {}},
}
PARIS = ("weather", '{"city": "Paris", "days": 2}', "")
NOW = ("now", "{}", "")
SEP, TOOL = "<｜tool▁sep｜>", "<｜tool▁call▁begin｜>"

# format, what the model wrote, the text around, the calls
CASES = [
    (
        "hermes",
        'Let me see.\n<tool_call>\n{"name": "weather", "arguments": {"city": "Paris", "days": 2}}\n'
        '</tool_call>\n<tool_call>\n{"name": "now", "arguments": {}}\n</tool_call>\n',
        "Let me see.",
        [PARIS, NOW],
    ),
    ("hermes", '<tool_call>{"name": "now"}', "", [NOW]),  # ended without its mark
    (
        "hermes",
        '<tool_call>{"name": "weather", "arguments": "{\\"city\\": \\"a</tool_call>b\\"}"}'
        "</tool_call>",
        "",
        [("weather", '{"city": "a</tool_call>b"}', "")],
    ),
    (
        "qwen3_coder",
        "<tool_call>\n<function=weather>\n<parameter=city>\nParis\n</parameter>\n"
        "<parameter=days>\n2\n</parameter>\n</function>\n</tool_call>",
        "",
        [PARIS],
    ),
    (
        "glm",
        "ok\n<tool_call>weather\n<arg_key>city</arg_key>\n<arg_value>2</arg_value>\n"
        "<arg_key>days</arg_key>\n<arg_value>2</arg_value>\n</tool_call><tool_call>now</tool_call>",
        "ok",
        [("weather", '{"city": "2", "days": 2}', ""), NOW],  # a string stays one
    ),
    (
        "deepseek",
        f"<｜tool▁calls▁begin｜>{TOOL}function{SEP}weather\n```json\n"
        '{"city": "Paris", "days": 2}\n```<｜tool▁call▁end｜>\n'
        f"{TOOL}now{SEP}{{}}<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
        "",
        [PARIS, NOW],
    ),
    (
        "kimi_k2",
        "Hm. <|tool_calls_section_begin|><|tool_call_begin|>functions.weather:0"
        '<|tool_call_argument_begin|>{"city": "Paris", "days": 2}<|tool_call_end|>'
        "<|tool_call_begin|>functions.now:1<|tool_call_argument_begin|>{}<|tool_call_end|>"
        "<|tool_calls_section_end|>",
        "Hm.",
        [(*PARIS[:2], "functions.weather:0"), ("now", "{}", "functions.now:1")],
    ),
    (
        "mistral",
        '[TOOL_CALLS][{"name": "weather", "arguments": {"city": "Paris", "days": 2}}, '
        '{"name": "now", "arguments": {}}]',
        "",
        [PARIS, NOW],
    ),
    (
        "mistral",
        'hi[TOOL_CALLS]weather[CALL_ID]abcDEF123[ARGS]{"city": "Paris", "days": 2}'
        "[TOOL_CALLS]now{}",
        "hi",
        [(*PARIS[:2], "abcDEF123"), NOW],
    ),
    (
        "json",
        '{"name": "weather", "parameters": {"city": "Paris", "days": 2}}; {"name": "now"}',
        "",
        [PARIS, NOW],
    ),
    ("json", '<|python_tag|>{"name": "now", "parameters": {}}', "", [NOW]),
    (
        "harmony",
        "<|channel|>analysis<|message|>Think.<|end|><|start|>assistant<|channel|>commentary "
        'to=functions.weather <|constrain|>json<|message|>{"city": "Paris", "days": 2}<|call|>',
        "",
        [PARIS],
    ),
    ("harmony", "<|channel|>final<|message|>Hello.<|return|>", "Hello.", []),
    ("nemotron", '<TOOLCALL>[{"name": "now", "arguments": {}}]</TOOLCALL>', "", [NOW]),
    ("command", '<|START_ACTION|>[{"tool_name": "now"}]<|END_ACTION|>', "", [NOW]),
    ("granite", '<|tool_call|>[{"name": "now", "arguments": {}}]', "", [NOW]),
    ("phi4", '<|tool_call|>[{"name": "now"}]<|/tool_call|>', "", [NOW]),
]

# What is no call of an offered tool comes back to the last character.
LOST = [
    ("hermes", 'see <tool_call>{"name": "other", "arguments": {}}</tool_call>'),
    ("hermes", "<tool_call>{broken}</tool_call> and so on"),
    ("hermes", '<tool_call>{"name": "now", "arguments": [1]}</tool_call>'),
    ("hermes", '<tool_call>{"name": "weather", "arguments": {"days": NaN}}</tool_call>'),
    ("hermes", '<tool_call>{"name": "weather", "arguments": {"days": 1e999}}</tool_call>'),
    ("hermes", "<tool_call>" + "[" * 100_000 + "</tool_call>"),
    ("hermes", "a < b <tool_cal"),
    ("hermes", "   "),
    ("qwen3_coder", "<tool_call>\n<function=weather>\nno parameter\n</function></tool_call>"),
    ("glm", "<tool_call>weather<arg_key>city</arg_key></tool_call>"),
    ("deepseek", f"<｜tool▁calls▁begin｜>{TOOL}function weather<｜tool▁call▁end｜>"),
    ("kimi_k2", "<|tool_calls_section_begin|><|tool_call_begin|>weather<|tool_call_end|>"),
    ("mistral", "[TOOL_CALLS][{]"),
    ("json", '{"city": "Paris"}'),
    ("json", "{ a set in braces }"),
    ("json", "<|python_tag|>brave_search.call(query='x')"),
    ("harmony", "plain words, no channel"),
]


def read(name: str, text: str, size: int):
    """(text, thoughts, calls) of an answer that comes in pieces."""
    parser = FORMATS[name].parser(TOOLS)
    pieces = [text[i : i + size] for i in range(0, len(text), size)]
    events = [event for piece in pieces for event in parser.push(piece)] + parser.finish()
    said = "".join(event.text for event in events if isinstance(event, Said))
    thought = "".join(event.text for event in events if isinstance(event, Thought))
    calls: list[tuple[str, str, str]] = []
    for event in events:
        if isinstance(event, Begun):
            calls.append((event.name, "", event.call_id))
        elif isinstance(event, Argued):
            last = calls.pop()
            calls.append((last[0], last[1] + event.text, last[2]))
    return said, thought, calls


@pytest.mark.parametrize("size", [1, 2, 3, 7, 10_000])
@pytest.mark.parametrize(("name", "text", "said", "calls"), CASES)
def test_calls_are_found(name, text, said, calls, size) -> None:
    assert read(name, text, size)[::2] == (said, calls)


@pytest.mark.parametrize("size", [1, 5, 1_000_000])
@pytest.mark.parametrize(("name", "text"), LOST)
def test_what_is_no_call_stays_text(name, text, size) -> None:
    assert read(name, text, size) == (text, "", [])


def test_harmony_tells_thoughts_from_text() -> None:
    text = (
        "<|channel|>analysis<|message|>First.<|end|><|start|>assistant<|channel|>commentary"
        "<|message|>I will look.<|end|><|start|>assistant<|channel|>commentary "
        "to=functions.other<|message|>{}<|call|>"
    )
    said, thought, calls = read("harmony", text, 4)
    assert thought == "First." and not calls
    assert said.startswith("I will look.") and "to=functions.other<|message|>{}<|call|>" in said


def test_text_is_told_as_it_comes() -> None:
    """Only what may be the start of a mark, or white space before one, waits."""
    parser = FORMATS["hermes"].parser(TOOLS)
    assert parser.push("Hello") == [Said("Hello")]
    assert parser.push(" <to") == []
    assert parser.push("wer> ") == [Said(" <tower>")]
    assert parser.finish() == [Said(" ")]


@pytest.mark.parametrize("name", list(FORMATS))
def test_what_is_held_back_is_bounded(name) -> None:
    """A call that never ends: from some point on it is text."""
    opening = {"json": "{", "harmony": "<|channel|>commentary to=functions.now<|message|>"}
    begin = opening.get(name) or next(
        mark
        for mark in ("<tool_call>", *FORMATS[name].marks)
        if mark in FORMATS[name].marks and "calls" not in mark
    )
    parser = FORMATS[name].parser(TOOLS)
    told = [event for piece in [begin] + ["x" * 1000] * 300 for event in parser.push(piece)]
    assert len(told) > 10  # before the end
    said = [event.text for event in told + parser.finish() if isinstance(event, Said)]
    assert "".join(said) == begin + "x" * 300_000


@pytest.mark.parametrize(
    ("source", "name"),
    [
        (None, "hermes"),
        ("{{ messages }}", "hermes"),
        ("{% if tools %}<tool_call>{% endif %}", "hermes"),
        ("{% if tools %}<tool_call><function={% endif %}", "qwen3_coder"),
        ("{% if tools %}<tool_call>{% endif %}<arg_key>", "glm"),
        ("{{ tools }}[TOOL_CALLS]", "mistral"),
        ("{{ tools }}<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>", "deepseek"),
        ("{{ tools }}<|tool_calls_section_begin|><|tool_call_begin|>", "kimi_k2"),
        ("{{ tools }}<|channel|><|message|><|call|>", "harmony"),
        ("{{ tools }} <|python_tag|>", "json"),
        ("{{ tools }}", "json"),
    ],
)
def test_a_template_s_source_says_which_format_it_teaches(source, name) -> None:
    assert format_of(source) == name
    assert shows_tools(source) == (source is not None and "tools" in source)
