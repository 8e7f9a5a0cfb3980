"""Between text and token ids, in both directions, without torch.

Streaming text has two reasons to wait: a character's bytes may be split over tokens
(`IncrementalDetokenizer`), and the end of the text may turn out to begin a stop string
(`StopMatcher`). Both give out exactly the text that decoding all tokens at once would, no sooner
and no later than is safe.
"""

import codecs
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import jinja2.ext
import jinja2.sandbox
import tokenizers

from configs.model_config import CheckpointError, read_json
from workers.errors import InvalidRequest

TEMPLATE_FILE = "chat_template.jinja"
CONFIG_FILE = "tokenizer_config.json"


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
        template: jinja2.Template | None,
        names: Mapping[str, str],
    ) -> None:
        self._inner = inner
        self._template = template
        self._names = dict(names)
        added = inner.get_added_tokens_decoder()
        self.special_ids = frozenset(i for i, token in added.items() if token.special)
        self._bytes_by_id = self._table()

    @classmethod
    def load(cls, folder: str | Path) -> "Tokenizer":
        folder = Path(folder)
        path = folder / "tokenizer.json"
        decoder = read_json(path).get("decoder")
        if not isinstance(decoder, dict) or decoder.get("type") != "ByteLevel":
            found = decoder.get("type") if isinstance(decoder, dict) else decoder
            raise CheckpointError(f'{path}: decoder is {found!r}; it must be of type "ByteLevel"')
        try:
            inner = tokenizers.Tokenizer.from_file(str(path))
        except Exception as error:  # the library raises bare Exception
            raise CheckpointError(f"{path}: is no tokenizer: {error}") from error
        config_path = folder / CONFIG_FILE
        config = read_json(config_path) if config_path.is_file() else {}
        return cls(inner, _load_template(folder, config), _special_names(config))

    @property
    def vocab_size(self) -> int:
        """Ids from 0 to one less than this have a text."""
        return len(self._bytes_by_id)

    def encode(self, text: str) -> list[int]:
        """Token ids; special tokens that are spelled out in the text become their ids."""
        ids: list[int] = self._inner.encode(text, add_special_tokens=False).ids
        return ids

    def decode(self, ids: Iterable[int]) -> str:
        """The text of all ids without special tokens; bytes that are no UTF-8 become U+FFFD."""
        data = b"".join(self.token_bytes(i) for i in ids if i not in self.special_ids)
        return data.decode("utf-8", errors="replace")

    def token_bytes(self, token_id: int) -> bytes:
        """What one token stands for; ids outside the vocabulary stand for nothing."""
        return self._bytes_by_id[token_id] if 0 <= token_id < len(self._bytes_by_id) else b""

    def token_text(self, token_id: int) -> str:
        """One token by itself, special or not, as logprobs show it."""
        return self.token_bytes(token_id).decode("utf-8", errors="replace")

    def render_chat(
        self, messages: Sequence[Mapping[str, Any]], add_generation_prompt: bool = True
    ) -> str:
        """The prompt for a conversation.

        Raises InvalidRequest where the template refuses the messages or the model has none.
        """
        if self._template is None:
            raise InvalidRequest(
                f"the model has no chat template (neither {TEMPLATE_FILE} nor chat_template in "
                f"{CONFIG_FILE}): use a prompt instead of messages",
                param="messages",
            )
        try:
            return self._template.render(
                messages=[dict(m) for m in messages],
                add_generation_prompt=add_generation_prompt,
                tools=None,
                documents=None,
                **self._names,
            )
        except (jinja2.TemplateError, TypeError, KeyError) as error:
            raise InvalidRequest(
                f"messages do not fit the model's chat template: {error}", param="messages"
            ) from error

    def _table(self) -> list[bytes]:
        """Bytes of every id. Tokens outside the byte alphabet (added ones) are their own UTF-8."""
        vocab = self._inner.get_vocab(with_added_tokens=True)
        alphabet = _byte_of_character()
        table = [b""] * (max(vocab.values(), default=-1) + 1)
        for token, token_id in vocab.items():
            known = all(character in alphabet for character in token)
            table[token_id] = bytes(alphabet[c] for c in token) if known else token.encode()
        return table


class BareTokenizer(Tokenizer):
    """Stands in where a model folder has no tokenizer: prompts are token ids, answers have no
    text.
    """

    def __init__(self, vocab_size: int) -> None:
        self.special_ids = frozenset()
        self._vocab_size = vocab_size

    @property
    def vocab_size(self) -> int:
        return self._vocab_size

    def encode(self, text: str) -> list[int]:
        raise InvalidRequest(
            "the model folder has no tokenizer.json: give the prompt as token ids", param="prompt"
        )

    def decode(self, ids: Iterable[int]) -> str:
        return ""

    def token_bytes(self, token_id: int) -> bytes:
        return b""

    def render_chat(
        self,
        messages: Sequence[Mapping[str, Any]],
        add_generation_prompt: bool = True,
    ) -> str:
        raise InvalidRequest(
            "the model folder has no tokenizer.json: give the prompt as token ids", param="messages"
        )


def open_tokenizer(folder: Path, vocab_size: int) -> Tokenizer:
    """The folder's tokenizer, or a bare one where it has none. Raises CheckpointError if broken."""
    if not (folder / "tokenizer.json").exists():
        return BareTokenizer(vocab_size)
    return Tokenizer.load(folder)


def _load_template(folder: Path, config: Mapping[str, Any]) -> jinja2.Template | None:
    """The folder's chat template, with the settings that Hugging Face templates expect."""
    path = folder / TEMPLATE_FILE
    if path.is_file():
        source: object = path.read_text(encoding="utf-8")
    else:
        path, source = folder / CONFIG_FILE, config.get("chat_template")
        if isinstance(source, list):  # several templates by name
            named = {t.get("name"): t.get("template") for t in source if isinstance(t, dict)}
            source = named.get("default")
    if source is None:
        return None
    if not isinstance(source, str):
        raise CheckpointError(
            f"{path}: chat_template is a {type(source).__name__}; it must be a string"
        )
    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[jinja2.ext.loopcontrols]
    )
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _refuse
    try:
        return environment.from_string(source)
    except jinja2.TemplateSyntaxError as error:
        raise CheckpointError(f"{path}: chat template, line {error.lineno}: {error}") from error


def _special_names(config: Mapping[str, Any]) -> dict[str, str]:
    """bos_token and such for templates that print them; a token may be an object with content."""
    names = {}
    for key in ("bos_token", "eos_token", "pad_token", "unk_token"):
        value = config.get(key)
        value = value.get("content") if isinstance(value, dict) else value
        if isinstance(value, str):
            names[key] = value
    return names


def _to_json(value: Any, indent: int | None = None) -> str:
    # jinja2's own filter escapes for HTML, which would change the prompt.
    return json.dumps(value, ensure_ascii=False, indent=indent)


def _refuse(message: str) -> None:
    raise jinja2.TemplateError(message)


class IncrementalDetokenizer:
    """Text of a growing list of tokens: what it returns adds up to `Tokenizer.decode`.

    Holds back the bytes of an incomplete UTF-8 character; leaves special tokens out.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def push(self, token_ids: Iterable[int]) -> str:
        """Text that these tokens complete; may be empty."""
        special = self._tokenizer.special_ids
        data = b"".join(self._tokenizer.token_bytes(i) for i in token_ids if i not in special)
        return self._decoder.decode(data)

    def flush(self) -> str:
        """What is still held back, as U+FFFD; the stream is over."""
        return self._decoder.decode(b"", final=True)


class StopMatcher:
    """Cuts a stream of text at the first stop string, which itself is left out.

    First means complete first, so that the cut does not depend on how the text is split into
    pieces; of several that are complete at the same character, the longest. Text that might begin a
    stop string is held back until that is decided.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stops)
        self._held = ""
        self.matched: str | None = None

    @property
    def stopped(self) -> bool:
        return self.matched is not None

    def push(self, text: str) -> str:
        """Text that is safe to show; nothing once stopped."""
        if self.stopped:
            return ""
        self._held += text
        found = [
            (at + len(stop), at, stop) for stop in self._stops if (at := self._held.find(stop)) >= 0
        ]
        if found:
            _, at, self.matched = min(found)
            safe, self._held = self._held[:at], ""
            return safe
        keep = self._undecided()
        safe, self._held = (
            self._held[: len(self._held) - keep],
            self._held[len(self._held) - keep :],
        )
        return safe

    def flush(self) -> str:
        """The rest, when no more text will come."""
        rest, self._held = self._held, ""
        return rest

    def _undecided(self) -> int:
        """Length of the longest end of the held text that begins a stop string."""
        longest = max((len(stop) for stop in self._stops), default=1) - 1
        for length in range(min(longest, len(self._held)), 0, -1):
            end = self._held[-length:]
            if any(stop.startswith(end) for stop in self._stops):
                return length
        return 0
