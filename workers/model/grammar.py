"""Constraints at work: which tokens may come next. The one file that knows llguidance.

    Constraint ─ check ─▶ can it be enforced?           no vocabulary needed
               ─ Grammars.begin ─▶ Grammar ─ follow ─▶ tokens that came
                                           ─ allowed ─▶ tokens that may come

What may come next follows from the tokens so far alone, so any chip says the same, whether it has
chosen those tokens itself or was handed them. A grammar forces no tokens: where only one text can
follow, any split of it may come, as the model likes best.
"""

import json
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np
from llguidance import LLMatcher, LLParserLimits, LLTokenizer, TokenizerWrapper
from llguidance.gbnf_to_lark import any_to_lark
from numpy.typing import NDArray

from workers.errors import InvalidRequest, PerfuseError
from workers.model.grammar_errors import one_line, refusal
from workers.model.shaping import Constraint

if TYPE_CHECKING:  # its stub's alone
    from llguidance._lib import JsonCompileOptions

# A space may follow "," and ":", as models have it; a small model would write spaces for ever.
_JSON: "JsonCompileOptions" = {
    "whitespace_flexible": False,
    "item_separator": ", ?",
    "key_separator": ": ?",
    "lenient": False,
}
# Last, so that it stands whatever a user's grammar says.
_NO_FORCING = '\n%llguidance {"no_forcing": true}\n'
# Its own bounds of work are counts (20 ms of compiling an expression, 15 ms a mask, by its
# figures), so a slow machine refuses what a fast one does. Errors say nothing of the state. A row
# has four items for each property that may come next: its own bound would be reached by 500.
_LIMITS = LLParserLimits(verbose_errors=False, max_items_in_row=20_000)
# Its words for a token that was not allowed, and for a place that nothing leads out of.
_NOT_ALLOWED, _DEAD_END = "satisfy the grammar", "NoExtension"

# Of compiling, for how it queues beside an event loop: 64 KiB of optional properties take 0.8 s, of
# anything else less; a vocabulary of 150,000 ids takes 2.5 s once. ASSUMED.
OPERATIONS_LEAST, OPERATIONS_PER_BYTE, OPERATIONS_PER_VOCABULARY = 1_000_000, 10_000, 20_000_000
# Compiled constraints that are kept: of 64 KiB each has some 10 MB, of a usual size some 100 KB.
COMPILED_MAX, COMPILED_BYTES_MAX = 64, 1 << 18

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Tokens as a grammar sees them.

    texts         bytes of each id of the model; b"" for those that stand for none
    special_ids   that never stand for text     end_ids   that end an answer
    """

    texts: tuple[bytes, ...]
    special_ids: frozenset[int]
    end_ids: tuple[int, ...]


def size(constraint: Constraint) -> int:
    """Operations of `check`, or of compiling it."""
    return OPERATIONS_LEAST + len(constraint.text) * OPERATIONS_PER_BYTE


def check(constraint: Constraint) -> None:
    """Raise InvalidRequest saying which keyword, or which part of a grammar, is at fault; also
    where no text begins as it asks.
    """
    constraint.validate()
    if constraint.kind == "grammar" and _names_tokens(constraint):
        return  # which ones there are, each model knows for itself
    tokenizer = _bytes_tokenizer()
    _begun(constraint, _matcher(constraint, tokenizer), tokenizer.vocab_size)


class Grammars:
    """Compiled constraints over one vocabulary, for all who compute with it in this process.

    load   reads the vocabulary, when the first constraint comes: it takes seconds where it is large
    """

    def __init__(self, load: Callable[[], Vocabulary]) -> None:
        self._load = load
        self._tokenizer: LLTokenizer | None = None
        self._num_ids = 0
        self._compiled: OrderedDict[Constraint, LLMatcher] = OrderedDict()
        self._lock = Lock()  # an event loop prepares beside itself what a compute thread needs

    def size(self, constraint: Constraint) -> int:
        """Operations of `begin`."""
        if constraint in self._compiled:
            return 0
        first = 0 if self._tokenizer is not None else OPERATIONS_PER_VOCABULARY
        return first + size(constraint)

    def begin(self, constraint: Constraint) -> "Grammar":
        """For a new sequence. Raises InvalidRequest where it cannot be enforced."""
        with self._lock:
            matcher = self._compiled.get(constraint)
            if matcher is None:
                matcher = self._compile(constraint)
                self._keep(constraint, matcher)
            self._compiled.move_to_end(constraint)
            return Grammar(constraint, matcher.deep_copy(), self._num_ids)

    def _compile(self, constraint: Constraint) -> LLMatcher:
        if self._tokenizer is None:
            vocabulary = self._load()
            self._num_ids = len(vocabulary.texts)
            self._tokenizer = _tokenizer(vocabulary)
        return _begun(constraint, _matcher(constraint, self._tokenizer), self._num_ids)

    def _keep(self, constraint: Constraint, matcher: LLMatcher) -> None:
        self._compiled[constraint] = matcher
        while len(self._compiled) > 1 and (
            len(self._compiled) > COMPILED_MAX
            or sum(len(one.text) for one in self._compiled) > COMPILED_BYTES_MAX
        ):
            self._compiled.popitem(last=False)


class Grammar:
    """Where one sequence's answer stands in its grammar."""

    def __init__(self, constraint: Constraint, matcher: LLMatcher, num_ids: int) -> None:
        self._constraint, self._matcher, self._num_ids = constraint, matcher, num_ids
        self._num_followed = 0
        self._words = np.empty(-(-num_ids // 32), dtype=np.uint32)

    def follow(self, token_ids: Sequence[int], num_prompt: int) -> None:
        """Take in what was generated since. Raises PerfuseError where that is no such answer."""
        new = list(token_ids[num_prompt + self._num_followed :])
        self._num_followed += len(new)
        if new and not self._matcher.consume_tokens(new):
            error = self._matcher.get_error()
            if _NOT_ALLOWED in error:
                raise PerfuseError(f"an answer left its grammar: {one_line(error)}")
            raise self._stuck(error)

    def allowed(self) -> Mask:
        """[V], True for tokens that may come next; end tokens where the answer may end. Raises
        InvalidRequest where nothing may.
        """
        words = self._words
        self._matcher.unsafe_compute_mask_ptr(words.ctypes.data, words.nbytes)
        if self._matcher.is_error():
            raise self._stuck(self._matcher.get_error())
        bits = np.unpackbits(words.view(np.uint8), bitorder="little", count=self._num_ids)
        return bits.view(np.bool_)

    def _stuck(self, error: str) -> InvalidRequest:
        """The request's fault: it asked for the grammar."""
        where = f"after {self._num_followed} tokens " if self._num_followed else ""
        if error.startswith(_DEAD_END):
            error = "no text goes on as it asks, or none that this model can write"
        return refusal(self._constraint, f"{where}{error}")


def _names_tokens(constraint: Constraint) -> bool:
    is_error, told = LLMatcher.validate_grammar_with_warnings(_source(constraint), limits=_LIMITS)
    if is_error:
        raise refusal(constraint, told[0])
    return bool(told)


def _matcher(constraint: Constraint, tokenizer: LLTokenizer) -> LLMatcher:
    matcher = LLMatcher(tokenizer, _source(constraint), log_level=0, limits=_LIMITS)
    if matcher.is_error():
        raise refusal(constraint, matcher.get_error())
    return matcher


def _begun(constraint: Constraint, matcher: LLMatcher, num_ids: int) -> LLMatcher:
    """Some rules lead to no text, which shows when the first token is to be chosen."""
    Grammar(constraint, matcher.deep_copy(), num_ids).allowed()
    return matcher


@cache
def _bytes_tokenizer() -> LLTokenizer:
    """Of a model that can write any text: what has none here has none anywhere."""
    texts = (*(bytes([byte]) for byte in range(255)), b"")
    return _tokenizer(Vocabulary(texts, frozenset(), (255,)))


class _Tokens:
    """A vocabulary as llguidance asks for it. It never tokenises: nothing is forced."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        # 0xFF is no byte of UTF-8, and llguidance's mark of special tokens.
        self.tokens = [b"" if text[:1] == b"\xff" else text for text in vocabulary.texts]
        self.special_token_ids = sorted(vocabulary.special_ids.union(vocabulary.end_ids))
        self.eos_token_id, self.bos_token_id = vocabulary.end_ids[0], None

    def __call__(self, _: bytes | str) -> list[int]:
        return []


def _tokenizer(vocabulary: Vocabulary) -> LLTokenizer:
    if not any(vocabulary.texts):
        raise InvalidRequest("the model folder has no tokenizer.json: its answers have no text")
    if not vocabulary.end_ids:
        raise InvalidRequest("the model has no end token: a structured answer could not end")
    wrapper = TokenizerWrapper(_Tokens(vocabulary))
    return LLTokenizer(wrapper, len(vocabulary.texts), list(vocabulary.end_ids))


def _source(constraint: Constraint) -> str:
    if constraint.kind == "json_schema":
        options = json.loads(LLMatcher.grammar_from_json_schema("{}", overrides=_JSON))
        schema = json.loads(constraint.text) | options["grammars"][0]["json_schema"]
        return f"start: %json {json.dumps(schema)}{_NO_FORCING}"
    if constraint.kind == "regex":
        made = json.loads(LLMatcher.grammar_from_regex(constraint.text))
        return f"{made['grammars'][0]['lark_grammar']}{_NO_FORCING}"
    if constraint.kind == "choice":
        # Literals of a grammar are written as JSON strings are.
        choices = " | ".join(json.dumps(text) for text in json.loads(constraint.text))
        return f"start: {choices}{_NO_FORCING}"
    try:
        return f"{any_to_lark(constraint.text)}{_NO_FORCING}"
    except Exception as error:  # the library raises bare ones, and RecursionError
        raise refusal(constraint, str(error)) from error
