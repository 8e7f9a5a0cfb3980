"""Tools before a template that has none, and before one that has."""

from datetime import datetime
from pathlib import Path
from typing import Any

import tokenizers

from cluster.text.template import ChatTemplates
from cluster.text.tokenizer import Tokenizer
from cluster.text.tool_calls.plain import written
from configs.perfuse_tiny import MODEL_DIR

NOW = {"type": "function", "function": {"name": "now", "parameters": {"type": "object"}}}
CALL = {"id": "c", "type": "function", "function": {"name": "now", "arguments": {"a": "ü"}}}
TALK: list[dict[str, Any]] = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "What time is it?"},
    {"role": "assistant", "content": None, "tool_calls": [CALL, CALL]},
    {"role": "tool", "tool_call_id": "c", "content": "noon"},
]


def test_the_shipped_model_is_told_of_tools_in_text() -> None:
    tokenizer = Tokenizer.load(MODEL_DIR)
    text = tokenizer.render_chat(tokenizer.fitted(TALK, [NOW]), tools=[NOW])
    call = '<tool_call>\n{"name": "now", "arguments": {"a": "ü"}}\n</tool_call>'
    assert text.startswith("<|im_start|>system\nBe brief.\n\nYou may call tools. They are:\n")
    assert '{"type": "function", "function": {"name": "now", ' in text
    assert f"<|im_start|>assistant\n{call}\n{call}<|im_end|>" in text
    assert "<|im_start|>user\n<tool_response>\nnoon\n</tool_response><|im_end|>" in text


def test_without_tools_nothing_changes() -> None:
    plain = [{"role": "user", "content": "hi"}]
    tokenizer = Tokenizer.load(MODEL_DIR)
    assert tokenizer.fitted(plain) == plain
    assert tokenizer.render_chat(plain, tools=()) == tokenizer.render_chat(plain)
    assert written(plain, []) == plain
    assert written(plain, [NOW])[0]["role"] == "system"


def test_a_template_that_has_tools_gets_them_as_they_came() -> None:
    source = "{% for t in tools or [] %}{{ t.function.name }};{% endfor %}{{ messages[0].role }}"
    sources = {"default": (Path("chat_template.jinja"), source)}
    template = ChatTemplates(sources, {}, datetime.now)
    inner = tokenizers.Tokenizer(tokenizers.models.BPE())
    inner.add_special_tokens(["<|python_tag|>", "<|eos|>"])
    tokenizer = Tokenizer(inner, template)
    fitted = tokenizer.fitted(TALK, [NOW])
    assert [message["role"] for message in fitted] == [message["role"] for message in TALK]
    assert tokenizer.render_chat(fitted, tools=[NOW]) == "now;system"
    assert tokenizer.render_chat(TALK) == "system"
    assert tokenizer.tool_format == "json"
    assert tokenizer.tool_marks == {inner.token_to_id("<|python_tag|>")}
