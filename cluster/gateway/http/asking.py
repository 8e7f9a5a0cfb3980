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


def within(headers: Headers, generation: Generation, most_ns: int) -> Generation:
    """With its user's own deadline, if there is one, and at most `most_ns` from its arrival.
    Raises InvalidRequest.
    """
    told = headers.get(WAITS)
    if told is None:
        return generation
    deadline_ns = round(float(told) * 10**9) if _SECONDS.fullmatch(told) else 0
    if not 0 < deadline_ns <= most_ns:
        raise InvalidRequest(
            f"{WAITS} is {shown(told)}: it must be seconds of the cluster's time above 0, like "
            f"0.25, and at most {most_ns / 10**9:g} (slo.deadline)",
            param=WAITS,
        )
    requests = tuple(replace(one, deadline_ns=deadline_ns) for one in generation.requests)
    return replace(generation, requests=requests)
