"""The chat templates of a model folder, with all that Hugging Face's expect."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import jinja2

from cluster.text.bounded_jinja import BoundedEnvironment, render
from cluster.text.chat_words import Generation, refuse, strftime, to_json
from cluster.text.dates import Clock
from cluster.text.message_shapes import PROBES, Messages, in_one_text, in_parts, probe, shaped
from cluster.text.template_files import DEFAULT, Sources, read_sources, special_names
from configs.checkpoint_files import CheckpointError

TOOL_USE = "tool_use"
# What a template can raise, beside Jinja's own.
REFUSALS = (
    jinja2.TemplateError,
    ArithmeticError,
    AttributeError,
    LookupError,
    MemoryError,
    RuntimeError,
    TypeError,
    ValueError,
)


class ChatTemplate:
    """One of them."""

    def __init__(self, compiled: jinja2.Template, names: Mapping[str, str]) -> None:
        self._compiled, self._names = compiled, dict(names)

    def render(self, messages: Messages, names: Mapping[str, Any]) -> str:
        """What `transformers` renders. Raises one of REFUSALS."""
        given = {**self._names, **names, "messages": [shaped(message) for message in messages]}
        return render(self._compiled, given)

    @cached_property
    def fit(self) -> Callable[[Mapping[str, Any]], Mapping[str, Any]]:
        """Gives a message the shape in which this template reads it, found by trying."""
        if not self._shows(probe(PROBES), PROBES):
            return in_one_text
        if not self._shows(probe(PROBES[0]), PROBES[:1]):
            return in_parts
        return dict

    def _shows(self, messages: Messages, texts: Sequence[str]) -> bool:
        """Whether all of it comes out, as text and not as Python writes a list."""
        names = {"tools": None, "documents": None, "add_generation_prompt": False}
        with suppress(*REFUSALS):
            shown = self.render(messages, names)
            return all(text in shown and f"'{text}'" not in shown for text in texts)
        return False


class ChatTemplates:
    """A folder's, by name. One of them may be for conversations with tools."""

    def __init__(self, sources: Sources, names: Mapping[str, str], now: Clock) -> None:
        environment = BoundedEnvironment({"tojson": to_json}, (Generation,))
        environment.globals |= {"raise_exception": refuse, "strftime_now": strftime(now)}
        self._by_name = {
            name: ChatTemplate(_compiled(environment, path, source), names)
            for name, (path, source) in sources.items()
        }
        found = sources.get(TOOL_USE) or sources.get(DEFAULT)
        self.source = found[1] if found else ""

    def choose(self, tools: object) -> ChatTemplate:
        """Raises ValueError where there is none."""
        has_own = tools is not None and TOOL_USE in self._by_name
        template = self._by_name.get(TOOL_USE if has_own else DEFAULT)
        if template is None:
            known = ", ".join(sorted(self._by_name))
            raise ValueError(f"of its templates none is called {DEFAULT!r}, only {known}")
        return template


def load_template(
    folder: Path, config: Mapping[str, Any], now: Clock = datetime.now
) -> ChatTemplates | None:
    """All of a folder's, compiled; None where it has none. Raises CheckpointError."""
    sources = read_sources(folder, config)
    return ChatTemplates(sources, special_names(folder, config), now) if sources else None


def _compiled(environment: jinja2.Environment, path: Path, source: str) -> jinja2.Template:
    try:
        template = environment.from_string(source)
        template.source = source  # type: ignore[attr-defined]  # which tools it knows
        return template
    except jinja2.TemplateError as error:
        line = getattr(error, "lineno", None) or 1
        raise CheckpointError(f"{path}: chat template, line {line}: {error}"[:400]) from error
    except (RecursionError, MemoryError, SyntaxError, ValueError) as error:
        # What Jinja takes and Python does not: blocks or brackets nested too deep, huge numbers.
        raise CheckpointError(
            f"{path}: chat template: cannot be compiled: {error}"[:400]
        ) from error
