"""How many tokens words are, to the model that will read them."""

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from cluster.api.request import Request
from cluster.text.dates import Clock
from cluster.text.tokenizer import Tokenizer, open_tokenizer


@dataclass(frozen=True)
class Words:
    """Of the model in `folder`. Its tokenizer is loaded when it is first needed."""

    folder: Path
    vocab_size: int
    today: Clock

    @cached_property
    def _tokenizer(self) -> Tokenizer:
        return open_tokenizer(self.folder, self.vocab_size, self.today)

    def num_tokens(self, text: str) -> int:
        return len(self._tokenizer.encode(text))

    def cut(self, request: Request, max_input: int) -> Request:
        """The request with at most so many tokens in its prompt: messages that are longer, as the
        chat template writes them, become token ids.
        """
        if not request.messages:
            return replace(request, prompt_ids=request.prompt_ids[:max_input])
        messages = self._tokenizer.fitted(request.messages)
        ids = self._tokenizer.encode(self._tokenizer.render_chat(messages))
        if len(ids) <= max_input:
            return request
        return replace(request, messages=(), prompt_ids=tuple(ids[:max_input]))

    def __getstate__(self) -> dict[str, Any]:
        """Without the tokenizer: another process reads it there."""
        return {"folder": self.folder, "vocab_size": self.vocab_size, "today": self.today}
