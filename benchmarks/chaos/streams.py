"""Clients of an HTTP endpoint that breaks: streams that are read to their ends, or to an error.

A client does what any should: where its connection breaks, or before there is a server, it sends
the same request again with the same X-Request-Id and the id of the last event; where it is refused
with Retry-After, it comes back then. What it has at the end is compared with a reference computed
in one process.
"""

import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from cluster.text.tokenizer import Tokenizer
from configs.presets import model_folder
from workers.model.reference import Reference
from workers.model.sampling_params import SamplingParams

MODEL = "perfuse-tiny"
STREAMS = 8
PROMPTS = 12
LENGTHS = (16, 48, 96)
# Whoever has not ended by then never will: the cluster's own deadline is half of it.
ENDS_S, DEADLINE_S = 120.0, 60
RETRY_S = 0.25


@dataclass(frozen=True)
class Case:
    """prompt_ids and how many tokens are wanted, and the text that they must become."""

    prompt_ids: tuple[int, ...]
    max_tokens: int
    text: str


@dataclass
class Tally:
    """What came of all requests. `wrong`: finished, and not the reference's text.

    lasted_s   of each that finished       errors   code -> how many ended so
    """

    num_begun: int = 0
    num_finished: int = 0
    num_refused: int = 0
    num_resumed: int = 0
    never_ended: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)
    lasted_s: list[float] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def num_ended(self) -> int:
        return self.num_finished + self.errors.total()


def cases() -> list[Case]:
    """Each prompt with each length, computed in this process."""
    folder = Path(model_folder(MODEL))
    tokenizer, reference = Tokenizer.load(folder), Reference(folder)
    found = []
    for number in range(PROMPTS):
        ids = tuple(tokenizer.encode(f"Tell me the price of Rasavan-{number * 7} and why."))
        sampling = SamplingParams(max_tokens=max(LENGTHS), ignore_eos=True)
        whole = reference.generate(ids, sampling).token_ids
        found += [Case(ids, n, tokenizer.decode(whole[:n])) for n in LENGTHS]
    return found


class Client:
    """One user: asks again as soon as it has an answer, until told to end."""

    def __init__(
        self, number: int, url: Callable[[], str], known: Sequence[Case], tally: Tally, seed: int
    ) -> None:
        self._number, self._url, self._cases, self._tally = number, url, known, tally
        self._random = random.Random(seed * 1000 + number)
        self._prefix = f"soak-{seed}-{number}"

    def run(self, ends: threading.Event) -> None:
        count = 0
        with httpx.Client(timeout=httpx.Timeout(30.0, connect=5.0)) as http:
            while not ends.is_set():
                count += 1
                case = self._random.choice(self._cases)
                with self._tally.lock:
                    self._tally.num_begun += 1
                _Asked(f"{self._prefix}-{count}", case, self._url, http, self._tally).run()


@contextmanager
def asking(url: Callable[[], str], tally: Tally, seed: int) -> Iterator[None]:
    """So many users ask until it is left; each reads what it has begun to its end."""
    known, ends = cases(), threading.Event()
    clients = [Client(i, url, known, tally, seed) for i in range(STREAMS)]
    threads = [threading.Thread(target=client.run, args=(ends,)) for client in clients]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ends.set()
        for thread in threads:
            thread.join()


def _events(lines: Iterator[str]) -> Iterator[tuple[str, str]]:
    """Id and data of each event that came whole: an empty line ends it."""
    place = said = ""
    for line in lines:
        if line.startswith("id: "):
            place = line[4:]
        elif line.startswith("data: "):
            said = line[6:]
        elif not line and said:
            yield place, said
            place = said = ""


class _Asked:
    """One request, through all breaks."""

    def __init__(
        self, name: str, case: Case, url: Callable[[], str], http: httpx.Client, tally: Tally
    ) -> None:
        self._name, self._case, self._url = name, case, url
        self._http, self._tally = http, tally
        self._text, self._last_id = "", ""

    def run(self) -> None:
        begun_s = time.monotonic()
        while time.monotonic() - begun_s < ENDS_S:
            try:
                if self._once():
                    with self._tally.lock:
                        self._tally.lasted_s.append(time.monotonic() - begun_s)
                    return
            except httpx.TransportError:  # nobody listens, or the connection broke
                with self._tally.lock:
                    self._tally.num_resumed += bool(self._last_id)
                time.sleep(RETRY_S)
        with self._tally.lock:
            self._tally.never_ended.append(f"{self._name}: {len(self._text)} characters")

    def _once(self) -> bool:
        """Whether it has ended, one way or the other. Raises TransportError."""
        body = {
            "model": MODEL, "prompt": list(self._case.prompt_ids), "ignore_eos": True,
            "max_tokens": self._case.max_tokens, "stream": True, "temperature": 0,
        }  # fmt: skip
        headers = {"x-request-id": self._name}
        if self._last_id:
            headers["last-event-id"] = self._last_id
        asked = self._http.stream("POST", f"{self._url()}/v1/completions", json=body,
                                  headers=headers)  # fmt: skip
        with asked as answer:
            if answer.status_code in (429, 503) and "retry-after" in answer.headers:
                answer.read()
                with self._tally.lock:
                    self._tally.num_refused += 1
                time.sleep(min(float(answer.headers["retry-after"]), 5.0))
                return False
            if answer.is_error:
                return self._failed(json.loads(answer.read()))
            for place, said in _events(answer.iter_lines()):
                if said == "[DONE]":
                    return self._finished()
                told = json.loads(said)
                if "error" in told:
                    return self._failed(told)
                self._text += "".join(choice["text"] for choice in told["choices"])
                self._last_id = place or self._last_id
        raise httpx.RemoteProtocolError("the stream ended without its last event")

    def _failed(self, said: dict[str, dict[str, str]]) -> bool:
        with self._tally.lock:
            self._tally.errors[said["error"]["code"]] += 1
        return True

    def _finished(self) -> bool:
        with self._tally.lock:
            self._tally.num_finished += 1
            if self._text != self._case.text:
                self._tally.wrong.append(
                    f"{self._name}: {self._text[-40:]!r}, not {self._case.text[-40:]!r}"
                )
        return True
