"""What users send, each from a process of its own, which prints JSON:

read URL      gaps of streams, until its standard input ends
attack URL    everything that fills the gateway's limits: name -> status
streams URL   16 streams at once: "begun", then whether each was whole
"""

import json
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx

MODEL = "perfuse-tiny"
BODY_BYTES, FILE_BYTES = 4 << 20, 8 << 20
SENTENCE = "The latency of Yolutus-11 is 12 us, and nobody knows why. "


# A file is attached for so long, then its store is deleted.
INDEX_S = 5
NUM_STREAMS = 16


def read(url: str) -> list[float]:
    """Gaps, in seconds, between the tokens of streams that follow one another."""
    over = threading.Event()

    def wait() -> None:
        sys.stdin.read()
        over.set()

    threading.Thread(target=wait, daemon=True).start()
    gaps: list[float] = []
    body = {"model": MODEL, "prompt": "For the", "max_tokens": 400, "ignore_eos": True}
    with httpx.Client(timeout=60) as client:
        while not over.is_set():
            last = 0.0
            with client.stream(
                "POST", f"{url}/v1/completions", json={**body, "stream": True}
            ) as lines:
                for line in lines.iter_lines():
                    now = time.monotonic()
                    if '"text"' in line:
                        gaps += [now - last] if last else []
                        last = now
    return gaps


def bodies() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(name, route, body) of requests that fill what the gateway reads."""
    text = (SENTENCE * (BODY_BYTES // len(SENTENCE)))[: BODY_BYTES - 4096]
    chat = [{"role": "user", "content": text}]
    completion, chats = "/v1/completions", "/v1/chat/completions"
    yield "prompt of 4 MB, n=64", completion, {"prompt": text, "n": 64}
    yield "chat of 4 MB, n=64", chats, {"messages": chat, "n": 64}
    yield "chat of line ends, n=64", chats, {"messages": [{**chat[0], "content": "\n" * 2_000_000}]}
    yield "2 million token ids, n=64", completion, {"prompt": [7] * 2_000_000, "n": 64}
    yield "64 prompts of 60 kB", completion, {"prompt": [text[:60_000]] * 64}
    yield "500,000 stop strings", completion, {"prompt": "x", "stop": ["s%d"] * 500_000}
    yield "4 stop strings of 1 MB", completion, {"prompt": "x", "stop": [text[:1_000_000]] * 4}
    yield "logit_bias of 300,000", completion, {
        "prompt": "x", "logit_bias": {str(i): 1 for i in range(300_000)}
    }  # fmt: skip
    yield "100,000 messages", chats, {"messages": [{"role": "user", "content": ""}] * 100_000}
    yield "a million objects", completion, {"prompt": "x", "user": [{}] * 1_000_000}
    yield "retrieval for 4 MB", chats, {"messages": chat, "retrieval": {"store": "cards"}}
    answer = {"prompt": "For the", "n": 64, "max_tokens": 100, "ignore_eos": True, "logprobs": 20}
    yield "64 answers with 20 logprobs", completion, answer


def attack(url: str) -> dict[str, int]:
    """Name -> status of everything that users may send."""
    statuses = {}
    with httpx.Client(timeout=120) as client:
        for name, route, body in bodies():
            raw = json.dumps({"model": MODEL, **body}, separators=(",", ":"))
            head = {"content-type": "application/json"}
            answer = client.post(url + route, content=raw.encode(), headers=head)
            statuses[name] = answer.status_code
        prose = (SENTENCE * (FILE_BYTES // len(SENTENCE))).encode()
        for name, data in (
            ("8 MB of prose", prose),
            ("8 MB of one word", b"a" * FILE_BYTES),
            ("8 MB of short lines", b"A\n" * (FILE_BYTES // 2)),
            ("8 MB of boundaries", b"\r\n--" * (FILE_BYTES // 4)),
        ):
            statuses[name] = index(client, url, data)
    return statuses


def index(client: httpx.Client, url: str, data: bytes) -> int:
    """Upload, attach and delete again; the status of what came last."""
    file = client.post(
        f"{url}/v1/files", data={"purpose": "assistants"}, files={"file": ("f.txt", data)}
    )
    if file.is_error:
        return file.status_code
    store = client.post(f"{url}/v1/vector_stores", json={"name": "s"}).json()["id"]
    body = {"file_id": file.json()["id"]}
    try:
        where = f"{url}/v1/vector_stores/{store}/files"
        status = client.post(where, json=body, timeout=INDEX_S).status_code
    except httpx.ReadTimeout:
        status = 0
    client.delete(f"{url}/v1/vector_stores/{store}")
    client.delete(f"{url}/v1/files/{file.json()['id']}")
    return status


def streams(url: str) -> list[bool]:
    """Whether each ended whole: with [DONE], a reason, and no error."""
    begun = threading.Semaphore(0)

    def one(_: int) -> bool:
        body = {"model": MODEL, "prompt": "For the", "max_tokens": 900, "ignore_eos": True}
        lines: list[str] = []
        with httpx.stream(
            "POST", f"{url}/v1/completions", json={**body, "stream": True}, timeout=60
        ) as answer:
            for line in answer.iter_lines():
                if not lines:
                    begun.release()
                lines += [line] if line else []
        is_whole = lines[-1] == "data: [DONE]" and '"finish_reason":"length"' in lines[-2]
        return is_whole and not any('"error"' in line for line in lines)

    with ThreadPoolExecutor(NUM_STREAMS) as pool:
        whole = pool.map(one, range(NUM_STREAMS))
        for _ in range(NUM_STREAMS):
            begun.acquire()
        print("begun", flush=True)
        return list(whole)


if __name__ == "__main__":
    modes = {"read": read, "attack": attack, "streams": streams}
    print(json.dumps(modes[sys.argv[1]](sys.argv[2])))
