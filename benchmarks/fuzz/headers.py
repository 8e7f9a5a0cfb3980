"""What a request says beside its body: ids, the place where a stream goes on, queries.

Each has a line: X-Request-Id, Last-Event-ID, X-Request-Timeout, then a query.
"""

from collections.abc import Sequence
from dataclasses import replace

from starlette.datastructures import Headers, QueryParams

from benchmarks.fuzz.target import Target
from cluster.api.cursor import Places
from cluster.api.output import Output
from cluster.gateway.chat_request import parse_chat
from cluster.gateway.http.asking import named_anew, resumption_of, within
from cluster.gateway.listing import page
from cluster.gateway.naming import Name, Naming
from cluster.gateway.resume import CannotResume, OtherBody, Place, Resumption, fingerprint
from cluster.gateway.settings import GatewaySettings
from cluster.gateway.store_request import read_status
from workers.errors import InvalidRequest

PATH, BODY = "/v1/chat/completions", b"{}"
ASKED = {"model": "m", "messages": [{"role": "user", "content": "x"}], "stream": True, "n": 2}
GENERATION = parse_chat(ASKED, Name("r", "r"), 0, GatewaySettings())
ITEMS = [{"id": f"s-{number}"} for number in range(5)]
DEADLINE_NS = 60 * 10**9


def _read(data: bytes) -> None:
    texts = [line.decode("latin-1") for line in data.split(b"\n")[:4]]
    name, place, waits, query = (*texts, *("",) * (4 - len(texts)))
    naming = Naming("gateway-1", 1)
    own = named_anew(naming.name(name or None), PATH, BODY)
    naming.seed(own)
    given = {"Last-Event-ID": place, "X-Request-Timeout": waits}
    headers = Headers({key: value for key, value in given.items() if value})
    within(headers, GENERATION, DEADLINE_NS)
    resumption = resumption_of(headers, own, PATH, BODY, GENERATION)
    if resumption is not None:
        _follow(resumption)
    if query:
        asked = dict(QueryParams(query))
        read_status(dict(asked))
        asked.pop("filter", None)
        numbers = Places().see([item["id"] for item in ITEMS])
        page(ITEMS, asked, numbers=numbers)


def _follow(resumption: Resumption) -> None:
    """What is computed again, token by token; where it stands can be told, and read."""
    output = Output("r", 0, (5,), "x", num_prompt_tokens=3)
    for number in range(8):
        end = "length" if number == 7 else ""
        for index in range(2):
            resumption.has(index, replace(output, position=number, finish_reason=end))
        assert Place.parse(str(resumption.place)) == resumption.place


def _seeds() -> Sequence[bytes]:
    of = fingerprint(PATH, BODY)
    resumption = Resumption(of, 2, None)
    for index in range(2):
        resumption.has(index, Output("r", 0, (5,), "x", num_prompt_tokens=3))
    whole = replace(resumption.place, num_events=1)
    return [
        f"mine\n{whole}\n0.25\nlimit=2&order=asc&after=s-1&filter=completed".encode(),
        f"mine\n{Place(of, ((0, 0), (0, 0)))}\n1\nlimit=2&before=s-3".encode(),
        f"mine\n{of}-0:00000000.1\n\n".encode(),
        b"\n\n59.5\nlimit=100",
    ]


TARGET = Target(
    "ids of requests and events, timeouts and queries",
    _read,
    (InvalidRequest, OtherBody, CannotResume),
    _seeds,
    ["after=", "before=", "order=desc", "limit=", "filter=", "s-4", "000000000", ",", ":", "%00"],
)
