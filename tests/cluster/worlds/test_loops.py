"""What users send holds no event loop of a live cluster; one process has all nodes on one loop."""

import threading
import time
from collections.abc import Iterator

import httpx
import pytest

from cluster.gateway.settings import GatewaySettings
from cluster.worlds.blueprint import Blueprint
from cluster.worlds.process import ProcessWorld, process_world
from configs.schema import load_scenario

pytestmark = [pytest.mark.live, pytest.mark.timeout(300)]

REAL = {"cluster.world": "process", "cluster.emulation": False, "cluster.dilation": 1}
SENTENCE = "The latency of Yolutus-11 is 12 us, and nobody knows why. "
BAR_MS = 50


@pytest.fixture(scope="module")
def world() -> Iterator[ProcessWorld]:
    with process_world(Blueprint.draw(load_scenario("demo", REAL))) as started:
        started.ask_gateway("serve_http", "127.0.0.1", 0, GatewaySettings())
        yield started


@pytest.fixture
def client(world: ProcessWorld) -> Iterator[httpx.Client]:
    server = world.seats["gateway"]._server
    assert server is not None
    with httpx.Client(base_url=server.url, timeout=100) as made:
        world.ask_gateway("watch")
        yield made
        took_ns, what = world.ask_gateway("longest_callbacks")[0]
        assert took_ns < BAR_MS * 1e6, f"{what} held the loop for {took_ns / 1e6:.0f} ms"


def test_a_chat_of_4_mb_in_64_choices(client: httpx.Client) -> None:
    """It held every client for minutes: each choice was tokenised, on the thread that computes."""
    chat = [{"role": "user", "content": SENTENCE * 70_000}]
    answer = client.post("/v1/chat/completions", json=body(messages=chat, n=64))
    assert answer.json()["error"]["code"] == "context_length_exceeded", answer.text


def test_a_chat_that_its_template_makes_short(client: httpx.Client) -> None:
    """Only tokenising says how long what is left is; here the 200 kB that fit no context."""
    chat = [{"role": "user", "content": SENTENCE * 3_500}]
    answer = client.post("/v1/chat/completions", json=body(messages=chat))
    assert answer.json()["error"]["code"] == "context_length_exceeded", answer.text


def test_64_answers_with_20_alternatives_a_token(client: httpx.Client) -> None:
    asked = body(prompt="For the", n=64, max_tokens=60, ignore_eos=True, logprobs=20)
    answer = client.post("/v1/completions", json=asked)
    assert [len(c["logprobs"]["tokens"]) for c in answer.json()["choices"]] == [60] * 64


def test_a_file_that_is_indexed_while_others_are_served(client: httpx.Client) -> None:
    """1 MB of prose: 2,000 passages, in 0.2 s of splitting and 0.6 s of embedding."""
    content = (SENTENCE * 18_000).encode()
    file = client.post(
        "/v1/files", data={"purpose": "assistants"}, files={"file": ("f.txt", content)}
    ).json()
    store = client.post("/v1/vector_stores", json={"name": "s"}).json()["id"]
    others: list[int] = []

    def ask() -> None:
        asked = body(prompt="For the", max_tokens=100, ignore_eos=True)
        with httpx.Client(base_url=client.base_url, timeout=100) as other:
            others.append(other.post("/v1/completions", json=asked).status_code)

    asking = threading.Thread(target=ask)
    asking.start()
    where = f"/v1/vector_stores/{store}"
    answer = client.post(f"{where}/files", json={"file_id": file["id"]})
    asking.join()
    assert (answer.status_code, others) == (200, [200]), answer.text
    while client.get(f"{where}/files/{file['id']}").json()["status"] == "in_progress":
        time.sleep(0.05)
    found = client.post(f"{where}/search", json={"query": "latency of Yolutus-11"}).json()
    assert "Yolutus-11" in found["data"][0]["content"][0]["text"]
    assert client.delete(where).status_code == 200


def body(**fields: object) -> dict[str, object]:
    return {"model": "perfuse-tiny", **fields}
