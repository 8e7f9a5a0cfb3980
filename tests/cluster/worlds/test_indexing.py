"""Files of many passages, through the official client, into the stores of one process."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import openai
import pytest
from openai.types import StaticFileChunkingStrategyParam

from cluster.gateway.settings import GatewaySettings
from cluster.worlds.blueprint import Blueprint
from cluster.worlds.process import ProcessWorld, process_world
from configs.schema import load_scenario

pytestmark = [pytest.mark.live, pytest.mark.timeout(300)]

# Processor time of one callback: /health waits for no longer than that, and for the time of others.
BAR_MS = 50


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[ProcessWorld, str]]:
    """And where."""
    with process_world(Blueprint.draw(load_scenario("server"))) as started:
        yield started, started.ask_gateway("serve_http", "127.0.0.1", 0, GatewaySettings())


@pytest.fixture
def client(served: tuple[ProcessWorld, str]) -> Iterator[openai.OpenAI]:
    world, url = served
    with openai.OpenAI(base_url=f"{url}/v1", api_key="none", timeout=100) as made:
        world.ask_gateway("watch")
        yield made
        took_ns, what = world.ask_gateway("longest_callbacks")[0]
        assert took_ns < BAR_MS * 1e6, f"{what} held the loop for {took_ns / 1e6:.0f} ms"


def uploaded(client: openai.OpenAI, text: str) -> str:
    return client.files.create(file=("a.txt", text.encode()), purpose="assistants").id


@pytest.mark.parametrize("count", [5_000, 20_000])
def test_a_file_of_short_lines_is_indexed_once_however_often_it_is_attached(
    client: openai.OpenAI, count: int
) -> None:
    """It once held everybody for seconds, and each retry stored its passages once more."""
    stores, file_id = client.vector_stores, uploaded(client, "A\n" * count)
    store_id = stores.create().id
    assert stores.files.create(store_id, file_id=file_id).status == "in_progress"
    with ThreadPoolExecutor(4) as pool:  # as those who waited too long do
        again = [pool.submit(stores.files.create, store_id, file_id=file_id) for _ in range(4)]
    assert {one.result().id for one in again} == {file_id}
    assert stores.files.poll(file_id, vector_store_id=store_id).status == "completed"
    stores.files.create(store_id, file_id=file_id)
    store = stores.retrieve(store_id)
    assert (store.file_counts.completed, store.file_counts.total) == (1, 1)
    assert store.model_extra == {"num_passages": count}
    assert len(list(stores.search(store_id, query="A", max_num_results=50))) == 50
    passages = list(stores.files.content(file_id, vector_store_id=store_id))
    assert [one.text for one in passages] == ["A"] * count
    stores.files.delete(file_id, vector_store_id=store_id)
    assert list(stores.search(store_id, query="A")) == []
    stores.delete(store_id)


def test_a_file_that_is_deleted_while_it_is_indexed_is_never_found(client: openai.OpenAI) -> None:
    """Nor what was made of it, however far its passages had come; answers do not have it either."""
    stores, store_id = client.vector_stores, client.vector_stores.create().id
    lines = "\n".join(f"Card {i} of Yolutus costs {i % 97} coins." for i in range(5_000))
    kept = uploaded(client, "Card 7 of Zorvex costs 12 coins.")
    for how in ("file", "attached"):
        file_id = uploaded(client, lines)
        stores.files.create(store_id, file_id=file_id)
        if how == "file":
            client.files.delete(file_id)
        else:
            stores.files.delete(file_id, vector_store_id=store_id)
        with pytest.raises(openai.NotFoundError):
            stores.files.retrieve(file_id, vector_store_id=store_id)
        stores.files.create_and_poll(kept, vector_store_id=store_id)
        found = stores.search(store_id, query="What does Yolutus cost?", max_num_results=50)
        assert {hit.file_id for hit in found} == {kept}
    answer = client.chat.completions.create(
        model="perfuse-tiny",
        messages=[{"role": "user", "content": "What does Yolutus cost?"}],
        max_tokens=4,
        extra_body={"retrieval": {"store": store_id, "top_k": 3}},
    )
    retrieval = (answer.model_extra or {})["retrieval"]
    assert retrieval["passages"] == ["Card 7 of Zorvex costs 12 coins."]


def test_a_batch_of_many_files_is_told_and_listed_in_pieces(client: openai.OpenAI) -> None:
    stores, store_id = client.vector_stores, client.vector_stores.create().id
    file_ids = [uploaded(client, f"Card {i} weighs {i} g.") for i in range(150)]
    batch = stores.file_batches.create_and_poll(store_id, file_ids=file_ids)
    assert (batch.status, batch.file_counts.completed) == ("completed", 150)
    listed = stores.file_batches.list_files(
        batch.id, vector_store_id=store_id, limit=40, order="asc"
    )
    assert [file.id for file in listed] == file_ids
    assert [file.id for file in stores.files.list(store_id, limit=100)] == file_ids[::-1]
    with pytest.raises(openai.BadRequestError, match="between 1 and 100"):
        stores.files.list(store_id, limit=101)


def test_a_file_is_cut_by_tokens_where_that_is_asked(client: openai.OpenAI) -> None:
    stores, store_id = client.vector_stores, client.vector_stores.create().id
    words = " ".join(f"word{i}" for i in range(300))
    strategy: StaticFileChunkingStrategyParam = {
        "max_chunk_size_tokens": 100,
        "chunk_overlap_tokens": 20,
    }
    file = stores.files.upload_and_poll(
        vector_store_id=store_id,
        file=("w.txt", words.encode()),
        chunking_strategy={"type": "static", "static": strategy},
    )
    assert file.status == "completed" and file.chunking_strategy is not None
    assert file.chunking_strategy.model_dump() == {"type": "static", "static": strategy}
    passages = [one.text or "" for one in stores.files.content(file.id, vector_store_id=store_id)]
    starts = [words.index(passage) for passage in passages]
    assert len(passages) > 3 and starts == sorted(starts) and starts[0] == 0
    assert passages[-1].endswith("word299")
    ends = [start + len(passage) for start, passage in zip(starts, passages, strict=True)]
    # Each begins within the one before, and not at its beginning.
    inside = zip(starts[1:], starts, ends, strict=False)
    assert all(before < begin < end for begin, before, end in inside)


@pytest.mark.alone
def test_health_is_told_while_a_store_is_filled(client: openai.OpenAI) -> None:
    """On a machine whose cores others use as well, so the bar is wide: `make bench-indexing` has
    the narrow one.
    """
    stores, store_id = client.vector_stores, client.vector_stores.create().id
    lines = "\n".join(f"Card {i} of Yolutus costs {i % 97} coins." for i in range(20_000))
    ended, slow = threading.Event(), []

    def ask() -> None:
        url = str(client.base_url).removesuffix("v1/")
        with httpx.Client(base_url=url, timeout=100) as http:
            while not ended.wait(0.01):
                answer = http.get("/health")
                if answer.status_code != 200 or answer.elapsed.total_seconds() > 1:
                    slow.append((answer.status_code, answer.elapsed))

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        file = stores.files.upload_and_poll(
            vector_store_id=store_id, file=("a.txt", lines.encode())
        )
    finally:
        ended.set()
        asking.join()
    assert file.status == "completed" and slow == []
