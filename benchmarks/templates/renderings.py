"""One rendering of ours beside one of `transformers`, through the folder that a user has."""

import json
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.templates.conversations import CONVERSATIONS, Conversation
from cluster.text.tokenizer import Tokenizer
from configs.checkpoint_files import CheckpointError
from configs.presets import TINY_MODEL, model_folder
from workers.errors import InvalidRequest

TOKENS = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}


@dataclass(frozen=True)
class Rendering:
    """`text` is None where it was refused, for the reason `why`."""

    text: str | None
    why: str = ""


@dataclass(frozen=True)
class Pair:
    """What became of one conversation."""

    template: str
    conversation: str
    ours: Rendering
    theirs: Rendering

    @property
    def is_equal(self) -> bool:
        return self.ours.text == self.theirs.text

    @property
    def is_refused(self) -> bool:
        return self.ours.text is None and self.theirs.text is None

    def told(self) -> str:
        """Where they part."""
        a, b = (r.text if r.text is not None else f"refused: {r.why}" for r in self._both())
        at = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), 0)
        start = max(at - 20, 0)
        return (
            f"{self.template} / {self.conversation}: at {at}, ours {a[start : at + 80]!r}, "
            f"theirs {b[start : at + 80]!r}"
        )

    def _both(self) -> tuple[Rendering, Rendering]:
        return self.ours, self.theirs


def pairs(name: str, source: str, folder: Path) -> Iterator[Pair]:
    """Every conversation, with and without the answer's beginning."""
    _write(folder, source)
    ours = _ours(folder)
    theirs = _theirs(folder)
    for what, conversation in CONVERSATIONS.items():
        for begins in (False, True):
            yield Pair(
                name,
                what + (", the answer begins" if begins else ""),
                _render(ours, conversation, begins),
                _apply(theirs, conversation, begins),
            )


def _write(folder: Path, source: str) -> None:
    tokenizer = model_folder(TINY_MODEL) / "tokenizer.json"
    (folder / "tokenizer.json").write_bytes(tokenizer.read_bytes())
    config = TOKENS | {"chat_template": source}
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")


def _ours(folder: Path) -> Tokenizer | str:
    try:
        return Tokenizer.load(folder)
    except CheckpointError as error:
        return str(error)


def _theirs(folder: Path) -> Any:
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast.from_pretrained(str(folder))


def _render(tokenizer: Tokenizer | str, conversation: Conversation, begins: bool) -> Rendering:
    messages, tools, more = conversation
    if isinstance(tokenizer, str):
        return Rendering(None, tokenizer)
    variables = {key: value for key, value in more.items() if key != "documents"}
    try:
        text = tokenizer.render_chat(
            messages, begins, tools, more.get("documents", ()), variables=variables
        )
    except InvalidRequest as error:
        return Rendering(None, str(error))
    return Rendering(text)


def _apply(tokenizer: Any, conversation: Conversation, begins: bool) -> Rendering:
    messages, tools, more = conversation
    try:
        with warnings.catch_warnings(action="ignore"):
            text = tokenizer.apply_chat_template(
                messages, tools=tools or None, tokenize=False, add_generation_prompt=begins, **more
            )
    except Exception as error:  # whatever a template raises
        return Rendering(None, f"{type(error).__name__}: {error}")
    return Rendering(text)
