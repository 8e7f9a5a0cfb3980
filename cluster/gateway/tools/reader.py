"""Follows one answer: what of it is text, and which calls it makes, each with an id."""

import hashlib
from collections.abc import Iterator

from cluster.gateway.tools.calling import Calling
from cluster.text.tool_calls.events import Argued, Begun, Event, Parser
from cluster.text.tool_calls.forced import NamedParser, RequiredParser
from cluster.text.tool_calls.formats import FORMATS, PLAIN

_LETTERS = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


class Reader:
    """unique     of this answer among all
    tool_format   which the model's template teaches: a name of FORMATS
    """

    def __init__(self, calling: Calling, unique: str, tool_format: str) -> None:
        self._unique, self._is_parallel = unique, calling.parallel
        self.is_forced = calling.is_forced
        self._format = FORMATS.get(tool_format, FORMATS[PLAIN])
        self._parser = _parser(calling, self._format.parser(calling.schemas))
        self._ids: set[str] = set()
        self._is_left_out = False

    @property
    def num_calls(self) -> int:
        return len(self._ids)

    def push(self, text: str, is_last: bool) -> list[Event]:
        """Each `Begun` has an id, unique in this answer and among all others."""
        events = self._parser.push(text)
        if is_last:
            events += self._parser.finish()
        return list(self._told(events))

    def _told(self, events: list[Event]) -> Iterator[Event]:
        for event in events:
            if isinstance(event, Begun):
                # Where one call is all that is wanted, the first is.
                self._is_left_out = bool(self._ids) and not self._is_parallel
                event = Begun(event.name, self._id(event.call_id))
            if not (self._is_left_out and isinstance(event, Begun | Argued)):
                if isinstance(event, Begun):
                    self._ids.add(event.call_id)
                yield event

    def _id(self, written: str) -> str:
        """As the model wrote it, where its template reads it again; else a new one."""
        length = self._format.id_chars
        fits = not length or (len(written) == length and written.isalnum() and written.isascii())
        if written and fits and written not in self._ids:
            return written
        seed = f"{self._unique}/{len(self._ids)}".encode()
        number = int.from_bytes(hashlib.blake2b(seed, digest_size=20).digest())
        letters = ""
        for _ in range(length or 24):
            number, letter = divmod(number, len(_LETTERS))
            letters += _LETTERS[letter]
        return letters if length else f"call_{letters}"


def _parser(calling: Calling, own: Parser) -> Parser:
    if calling.mode == "named":
        return NamedParser(calling.name)
    return RequiredParser(calling.schemas) if calling.mode == "required" else own
