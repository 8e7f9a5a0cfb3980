"""Between text and token ids, in both directions, without torch."""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

import tokenizers

from cluster.text.dates import Clock
from cluster.text.normalizing import chars_of_one
from cluster.text.template import REFUSALS, ChatTemplates, load_template
from cluster.text.template_files import CONFIG_FILE, TEMPLATE_FILE
from cluster.text.tool_calls import plain
from cluster.text.tool_calls.formats import FORMATS, PLAIN, format_of, shows_tools
from configs.checkpoint_files import CheckpointError, read_json
from configs.outside import shown
from workers.errors import InvalidRequest

IDS_MAX = 1 << 24  # the largest public vocabulary has 262,144
# Texts from here on are encoded without holding Python's lock: some ms.
LONG_CHARS = 8192


def _byte_of_character() -> dict[str, int]:
    """GPT-2's byte alphabet: printable bytes stand for themselves, the rest from U+0100 on."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    table = {chr(byte): byte for byte in printable}
    others = (byte for byte in range(256) if chr(byte) not in table)
    return table | {chr(0x100 + index): byte for index, byte in enumerate(list(others))}


class Tokenizer:
    """A byte-level tokenizer (tokenizer.json) and its chat template.

    Raises CheckpointError from `load` where a file is missing, malformed or not byte-level.
    """

    def __init__(
        self,
        inner: tokenizers.Tokenizer,
        template: ChatTemplates | None,
    ) -> None:
        self._inner = inner
        self._template = template
        added = inner.get_added_tokens_decoder()
        self.special_ids = frozenset(i for i, token in added.items() if token.special)
        source = None if template is None else template.source
        self._has_tools, self.tool_format = shows_tools(source), format_of(source)
        marks = FORMATS[self.tool_format].marks
        self.tool_marks = frozenset(i for i, token in added.items() if token.content in marks)
        self._latest: tuple[str, list[int]] = ("", [])
        self._bytes_by_id = self._table()
        longest = 0 if _strips(added.values()) else max(map(len, self._bytes_by_id), default=0)
        self._longest_chars = longest * chars_of_one(inner.normalizer)

    @classmethod
    def load(cls, folder: str | Path, now: Clock = datetime.now) -> "Tokenizer":
        """`now` is what templates print as today."""
        folder = Path(folder)
        path = folder / "tokenizer.json"
        described = read_json(path)
        decoder = described.get("decoder")
        if not isinstance(decoder, dict) or decoder.get("type") != "ByteLevel":
            found = decoder.get("type") if isinstance(decoder, dict) else decoder
            raise CheckpointError(
                f'{path}: decoder is {shown(found)}; it must be of type "ByteLevel"'
            )
        _check_ids(path, described)
        try:
            inner = tokenizers.Tokenizer.from_str(json.dumps(described))
        except Exception as error:  # the library raises bare Exception
            raise CheckpointError(f"{path}: is no tokenizer: {error}"[:400]) from error
        config_path = folder / CONFIG_FILE
        config = read_json(config_path) if config_path.is_file() else {}
        return cls(inner, load_template(folder, config, now))

    @property
    def vocab_size(self) -> int:
        """Ids from 0 to one less than this have a text."""
        return len(self._bytes_by_id)

    def encode(self, text: str) -> list[int]:
        """Token ids; special tokens that are spelled out in the text become their ids."""
        if len(text) < LONG_CHARS:
            ids: list[int] = self._inner.encode(text, add_special_tokens=False).ids
            return ids
        # The choices of one prompt come one after the other.
        latest, ids = self._latest
        if latest != text:
            # The same, but for a batch the library lets Python's lock go.
            (encoded,) = self._inner.encode_batch_fast([text], add_special_tokens=False)
            ids = encoded.ids
            self._latest = (text, ids)
        return list(ids)

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Of its tokens in it, in characters: those that share one overlap."""
        spans: list[tuple[int, int]] = self._inner.encode(text, add_special_tokens=False).offsets
        return spans

    @property
    def max_token_chars(self) -> int:
        """No token stands for more characters than that; 0 where the tokenizer may drop some."""
        return self._longest_chars

    def least_tokens(self, text: str) -> int:
        """It has at least so many tokens, found without looking at it."""
        return -(-len(text) // self._longest_chars) if self._longest_chars else 0

    def decode(self, ids: Iterable[int]) -> str:
        """The text of all ids without special tokens; bytes that are no UTF-8 become U+FFFD."""
        return self.bytes_of(ids, self.special_ids).decode("utf-8", errors="replace")

    def bytes_of(self, token_ids: Iterable[int], hidden: frozenset[int]) -> bytes:
        """What they stand for one after the other, but for those that are hidden."""
        return b"".join(self.token_bytes(i) for i in token_ids if i not in hidden)

    def token_bytes(self, token_id: int) -> bytes:
        """What one token stands for; ids outside the vocabulary stand for nothing."""
        return self._bytes_by_id[token_id] if 0 <= token_id < len(self._bytes_by_id) else b""

    def render_chat(
        self,
        messages: Sequence[Mapping[str, Any]],
        add_generation_prompt: bool = True,
        tools: Sequence[Mapping[str, Any]] = (),
        documents: Sequence[Mapping[str, Any]] = (),
        variables: Mapping[str, Any] = MappingProxyType({}),
    ) -> str:
        """The prompt for a conversation, as `transformers` renders it; `variables` are whatever
        else the template knows (enable_thinking).

        Raises InvalidRequest where the template refuses the messages or the model has none.
        """
        shown_tools = [dict(tool) for tool in tools] or None
        names = {
            **variables,
            "tools": shown_tools,
            "documents": [dict(document) for document in documents] or None,
            "add_generation_prompt": add_generation_prompt,
        }
        try:
            return self._templates.choose(shown_tools).render(messages, names)
        except REFUSALS as error:
            text = f"messages do not fit the model's chat template: {error}"
            raise InvalidRequest(text[:400], param="messages") from error

    def fitted(
        self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]] = ()
    ) -> list[Mapping[str, Any]]:
        """The same, with contents in the shape that the template reads: where it knows texts alone,
        or parts alone, the other is lost. Where it knows no tools, they are told in text. Raises
        InvalidRequest.
        """
        try:
            fit = self._templates.choose(list(tools) or None).fit
        except REFUSALS as error:
            raise InvalidRequest(
                f"the model's chat templates: {error}", param="messages"
            ) from error
        if not self._has_tools and plain.has_tools(messages, tools):
            messages = plain.written(messages, tools)
        return [fit(message) for message in messages]

    @property
    def _templates(self) -> ChatTemplates:
        if self._template is None:
            raise InvalidRequest(
                f"the model has no chat template (neither {TEMPLATE_FILE} nor chat_template in "
                f"{CONFIG_FILE}): use a prompt instead of messages",
                param="messages",
            )
        return self._template

    def _table(self) -> list[bytes]:
        """Bytes of every id. Tokens outside the byte alphabet (added ones) are their own UTF-8."""
        vocab = self._inner.get_vocab(with_added_tokens=True)
        alphabet = _byte_of_character()
        table = [b""] * (max(vocab.values(), default=-1) + 1)
        for token, token_id in vocab.items():
            known = all(character in alphabet for character in token)
            table[token_id] = bytes(alphabet[c] for c in token) if known else token.encode()
        return table


def _strips(added: Iterable[Any]) -> bool:
    """Whether a token that was added takes the blanks beside it, however many."""
    return any(token.lstrip or token.rstrip for token in added)


def _check_ids(path: Path, described: Mapping[str, Any]) -> None:
    """Each id has a place in a table: one of 2^32 would ask for all of them."""
    model, added = described.get("model"), described.get("added_tokens") or ()
    vocab = model.get("vocab") if isinstance(model, dict) else None
    ids = list(vocab.values()) if isinstance(vocab, dict) else []
    if isinstance(added, list):
        ids += [token.get("id") for token in added if isinstance(token, dict)]
    wrong = next((i for i in ids if type(i) is not int or not 0 <= i < IDS_MAX), None)
    if wrong is not None:
        raise CheckpointError(
            f"{path}: a token has id {shown(wrong)}; ids must be from 0 to {IDS_MAX - 1}"
        )


class BareTokenizer(Tokenizer):
    """Stands in where a model folder has no tokenizer: prompts are token ids, answers have no
    text.
    """

    def __init__(self, vocab_size: int) -> None:
        self.special_ids = self.tool_marks = frozenset()
        self.tool_format = PLAIN
        self._vocab_size = vocab_size
        self._longest_chars = 0

    @property
    def vocab_size(self) -> int:
        return self._vocab_size

    def encode(self, text: str) -> list[int]:
        raise InvalidRequest(
            "the model folder has no tokenizer.json: give the prompt as token ids", param="prompt"
        )

    def decode(self, ids: Iterable[int]) -> str:
        return ""

    def bytes_of(self, token_ids: Iterable[int], hidden: frozenset[int]) -> bytes:
        return b""

    def token_bytes(self, token_id: int) -> bytes:
        return b""

    @property
    def _templates(self) -> ChatTemplates:
        raise InvalidRequest(
            "the model folder has no tokenizer.json: give the prompt as token ids", param="messages"
        )


def open_tokenizer(folder: Path, vocab_size: int, now: Clock = datetime.now) -> Tokenizer:
    """The folder's tokenizer, or a bare one where it has none. Raises CheckpointError if broken."""
    if not (folder / "tokenizer.json").exists():
        return BareTokenizer(vocab_size)
    return Tokenizer.load(folder, now)
