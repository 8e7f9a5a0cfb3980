"""A stream that its reader takes up again where it broke.

Whoever names a request (X-Request-Id) gets an id with every event, and may send the same request
again with the last id that came. The answer is computed anew: its seed follows from the request's
name, so it is the same one, token by token; what the reader has is checked, and not told again.

    3f0a9c51d2e4b687-5:91b2c0de,3:0044a7f1.2
    of the body      choice 0: 5 tokens   choice 1    events of what follows
                     and their checksum

An id says all of it, so no gateway need remember any: one that died is taken up by the next. Tokens
that come out otherwise than before (a retrieval that finds other passages, arithmetic that is not
exact) are no continuation: that is an error, not an answer.
"""

import hashlib
import re
import zlib
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from cluster.api.output import Output
from cluster.api.request import Request
from cluster.gateway.client import RouterClient
from configs.outside import shown
from workers.errors import InvalidRequest, PerfuseError

# Two bodies of one name are told apart by so many bytes.
_FINGERPRINT_BYTES = 8
# Of one choice a count and a checksum; of 64 choices 1,200 characters.
_PLACE = re.compile(
    r"([0-9a-f]{16})-(\d{1,9}:[0-9a-f]{8}(?:,\d{1,9}:[0-9a-f]{8}){0,4095})(?:\.(\d{1,6}))?",
    re.ASCII,
)
_DONE = b"data: [DONE]"
HEADER = "Last-Event-ID"


class OtherBody(PerfuseError):
    """A request's name comes with another body than before."""

    code = "request_id_in_use"


class CannotResume(PerfuseError):
    """What the reader has is not the beginning of what is computed now."""

    code = "cannot_resume"


class TakenOver(PerfuseError):
    """Another reader of the same request has come."""

    code = "taken_over"


def fingerprint(path: str, body: bytes) -> str:
    """Of what is asked, and of whom: the same for a request that is sent again."""
    return hashlib.blake2b(path.encode() + b"\n" + body, digest_size=_FINGERPRINT_BYTES).hexdigest()


@dataclass(frozen=True, slots=True)
class Place:
    """What a reader has.

    of           fingerprint of the request
    choices      tokens of each choice, and their checksum
    num_events   that came of what follows them
    """

    of: str
    choices: tuple[tuple[int, int], ...]
    num_events: int = 0

    def __str__(self) -> str:
        choices = ",".join(f"{count}:{checksum:08x}" for count, checksum in self.choices)
        return f"{self.of}-{choices}" + (f".{self.num_events}" if self.num_events else "")

    @classmethod
    def parse(cls, text: str) -> "Place":
        """Raises InvalidRequest on what is no id of ours."""
        found = _PLACE.fullmatch(text)
        if found is None:
            raise InvalidRequest(
                f"{HEADER} is {shown(text)}: it must be the id of an event that came with this "
                "request's answer; leave it out to begin anew",
                param=HEADER,
            )
        pairs = (pair.split(":") for pair in found[2].split(","))
        choices = tuple((int(count), int(checksum, 16)) for count, checksum in pairs)
        return cls(found[1], choices, int(found[3] or 0))


class Resumption:
    """Follows the outputs of a request, all of them from the first on, and knows which of them its
    reader has.

    known   the place from which the reader goes on; None: it has nothing

    Raises OtherBody where `known` is of another request, and CannotResume where it is of another
    number of choices.
    """

    def __init__(self, of: str, num_choices: int, known: Place | None) -> None:
        if known is not None:
            _check(known, of, num_choices)
        self.of = of
        self._known = known.choices if known else ((0, 0),) * num_choices
        self._skip = known.num_events if known else 0
        self._choices = [(0, 0)] * num_choices
        self._before = self.place

    @property
    def place(self) -> Place:
        """Up to the last output."""
        return Place(self.of, tuple(self._choices))

    def has(self, index: int, output: Output) -> bool:
        """Whether the reader has this output of that choice, which is the next one.

        Raises CannotResume where it is not what the reader has.
        """
        self._before = self.place
        count, checksum = self._choices[index]
        if not count:  # of another prompt no token is the same
            checksum = zlib.crc32(b"%d" % output.num_prompt_tokens)
        for token_id in output.token_ids:
            checksum = zlib.crc32(b",%d" % token_id, checksum)
        count += len(output.token_ids)
        self._choices[index] = count, checksum
        known = self._known[index]
        if known[0] == 0 or count - len(output.token_ids) >= known[0]:
            return False
        is_end = count < known[0] and bool(output.finish_reason)
        if count > known[0] or is_end or (count == known[0] and checksum != known[1]):
            raise CannotResume(_otherwise(index, known[0]))
        return True

    def numbered(self, events: bytes) -> bytes:
        """Events that the last output led to, each with its id, without those that the reader has.
        The last of them says that the reader has the output.
        """
        written = events.split(b"\n\n")[:-1]
        last = len(written) - 1
        ids = [
            self.place if i == last else Place(self.of, self._before.choices, i + 1)
            for i in range(len(written))
        ]
        return self._with_ids(written, ids)

    def numbered_end(self, events: bytes) -> bytes:
        """The same of what follows the last output of all."""
        written = events.split(b"\n\n")[:-1]
        ids = [Place(self.of, tuple(self._choices), i + 1) for i in range(len(written))]
        return self._with_ids(written, ids)

    def _with_ids(self, written: Sequence[bytes], ids: Sequence[Place]) -> bytes:
        had = min(self._skip, len(written))
        self._skip = 0 if written else self._skip
        rest = zip(written[had:], ids[had:], strict=True)
        return b"".join(
            one + b"\n\n" if one == _DONE else b"id: %b\n%b\n\n" % (str(place).encode(), one)
            for one, place in rest
        )


def _check(known: Place, of: str, num_choices: int) -> None:
    if known.of != of:
        raise OtherBody(
            f"{HEADER} is of a request with another body: send the same body, byte for byte, to go "
            "on with its answer, or another X-Request-Id to ask for something else",
            param=HEADER,
        )
    if len(known.choices) != num_choices:
        raise CannotResume(
            f"{HEADER} tells of {len(known.choices)} choices and the request has {num_choices}",
            param=HEADER,
        )


def _otherwise(index: int, count: int) -> str:
    return (
        f"choice {index} comes out otherwise than before within the {count} tokens that you have, "
        "so what follows would be no continuation: ask anew under another X-Request-Id"
    )


async def taken_up(
    client: RouterClient, request: Request, of: str, known: Place | None
) -> AsyncGenerator[tuple[Output, Place], None]:
    """What a reader that has got to `known` lacks of a request, which is sent again under a request
    id of its own; each output with the place that the reader has reached with it.

    Raises what `submit` raises, OtherBody and CannotResume.
    """
    resumption = Resumption(of, 1, known)
    async with aclosing(client.submit(request)) as outputs:
        async for output in outputs:
            # One that ends without an answer has no tokens to compare.
            is_answer = output.finish_reason not in ("cancelled", "error")
            if not (is_answer and resumption.has(0, output)):
                yield output, resumption.place
