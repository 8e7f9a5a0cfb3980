"""What a request's headers say of it: that it is sent again, and how long its user waits."""

import re
from dataclasses import replace

from starlette.datastructures import Headers

from cluster.gateway.generation import Generation
from cluster.gateway.naming import Name
from cluster.gateway.resume import HEADER, Place, Resumption, fingerprint
from configs.outside import shown
from workers.errors import InvalidRequest

WAITS = "X-Request-Timeout"
# Digits enough for nanoseconds, and for years.
_SECONDS = re.compile(r"\d{1,9}(\.\d{1,9})?", re.ASCII)


def named_anew(name: Name, path: str, body: bytes) -> Name:
    """The name of a request, now that its body is known: another one is another answer's."""
    return replace(name, again=f"{name.public}-{fingerprint(path, body)}") if name.again else name


def resumption_of(
    headers: Headers, name: Name, path: str, body: bytes, generation: Generation
) -> Resumption | None:
    """None for a request that its client has not named. Raises InvalidRequest, and what Resumption
    raises.
    """
    told = headers.get(HEADER)
    if told and not name.again:
        raise InvalidRequest(
            f"{HEADER} comes without X-Request-Id: send the one of the request that it belongs to",
            param=HEADER,
        )
    if told and not generation.stream:
        raise InvalidRequest(
            f"{HEADER} is for streams: without 'stream' the whole answer is sent again",
            param=HEADER,
        )
    if not name.again:
        return None
    known = Place.parse(told) if told else None
    return Resumption(fingerprint(path, body), len(generation.requests), known)


def within(headers: Headers, generation: Generation) -> Generation:
    """With its user's own deadline, if there is one. Raises InvalidRequest."""
    told = headers.get(WAITS)
    if told is None:
        return generation
    if not _SECONDS.fullmatch(told) or not float(told):
        raise InvalidRequest(
            f"{WAITS} is {shown(told)}: it must be seconds above 0, like 2.5", param=WAITS
        )
    deadline_ns = max(1, round(float(told) * 10**9))
    requests = tuple(replace(one, deadline_ns=deadline_ns) for one in generation.requests)
    return replace(generation, requests=requests)
