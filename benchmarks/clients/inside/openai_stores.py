"""The official client: files and vector stores."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import openai
from openai import OpenAI

if TYPE_CHECKING:
    from benchmarks.clients.inside.child import Server

PACKAGES = ("openai",)
PLANETS = "The planet Zorbax has nine moons of green glass.\n\nIts year lasts forty days.\n"
RECIPE = "Boil the turnips for an hour.\n\nServe them with butter and salt.\n"


def connect(server: "Server") -> Any:
    """Any: requests here are written as people write them, without the client's types."""
    return OpenAI(base_url=server.url, api_key="none", max_retries=0, timeout=60)


def text_file(server: "Server", name: str, text: str) -> Path:
    path = Path(server.scratch) / name
    path.write_text(text, encoding="utf-8")
    return path


def texts(found: Any) -> str:
    return "\n".join(part.text for result in found for part in result.content)


def files(server: "Server") -> None:
    """files: create, retrieve, list, content, delete"""
    client = connect(server)
    with text_file(server, "planets.txt", PLANETS).open("rb") as stream:
        made = client.files.create(file=stream, purpose="assistants")
    assert made.filename == "planets.txt" and made.bytes == len(PLANETS)
    assert client.files.retrieve(made.id).id == made.id
    assert made.id in [file.id for file in client.files.list(purpose="assistants", limit=1)]
    assert client.files.content(made.id).text == PLANETS
    assert client.files.wait_for_processing(made.id).status == "processed"
    assert client.files.delete(made.id).deleted
    try:
        client.files.retrieve(made.id)
    except openai.NotFoundError:
        return
    raise AssertionError("a deleted file was found")


def stores(server: "Server") -> None:
    """vector stores: create, retrieve, update, list, delete"""
    client = connect(server)
    made = client.vector_stores.create(name="planets", metadata={"topic": "space"})
    assert made.object == "vector_store" and made.metadata == {"topic": "space"}
    renamed = client.vector_stores.update(made.id, name="worlds", metadata={"topic": "far"})
    assert renamed.name == "worlds"
    again = client.vector_stores.retrieve(made.id)
    assert (again.name, again.metadata) == ("worlds", {"topic": "far"})
    other = client.vector_stores.create(name="other")
    listed = [store.id for store in client.vector_stores.list(limit=1)]  # page after page
    assert {made.id, other.id, server.store} <= set(listed)
    for store in (made, other):
        assert client.vector_stores.delete(store.id).deleted


def store_files(server: "Server") -> None:
    """vector store files: upload_and_poll, create_and_poll, list, content, attributes"""
    client = connect(server)
    store = client.vector_stores.create(name="planets")
    first = client.vector_stores.files.upload_and_poll(
        vector_store_id=store.id, file=text_file(server, "planets.txt", PLANETS)
    )
    assert first.status == "completed" and first.usage_bytes > 0
    uploaded = client.files.create(
        file=text_file(server, "recipe.txt", RECIPE), purpose="assistants"
    )
    second = client.vector_stores.files.create_and_poll(
        uploaded.id, vector_store_id=store.id, attributes={"kind": "recipe", "year": 1999}
    )
    assert second.status == "completed" and second.attributes == {"kind": "recipe", "year": 1999}
    counts = client.vector_stores.retrieve(store.id).file_counts
    assert (counts.completed, counts.total) == (2, 2)
    listed = client.vector_stores.files.list(store.id, filter="completed", limit=1)
    assert {file.id for file in listed} == {first.id, second.id}
    content = list(client.vector_stores.files.content(second.id, vector_store_id=store.id))
    assert "turnips" in content[0].text
    changed = client.vector_stores.files.update(
        second.id, vector_store_id=store.id, attributes={"kind": "soup"}
    )
    assert changed.attributes == {"kind": "soup"}
    client.vector_stores.delete(store.id)


def store_search(server: "Server") -> None:
    """vector store search: filters, score threshold, several queries; deletion reaches it"""
    client = connect(server)
    store = client.vector_stores.create(name="both")
    ids = {}
    for name, text in (("planets", PLANETS), ("recipe", RECIPE)):
        uploaded = client.files.create(
            file=text_file(server, f"{name}.txt", text), purpose="assistants"
        )
        ids[name] = uploaded.id
        client.vector_stores.files.create_and_poll(
            uploaded.id, vector_store_id=store.id, attributes={"kind": name}
        )

    def search(query: "str | list[str]", **more: object) -> Any:
        return client.vector_stores.search(store.id, query=query, **more)

    found = list(search("How many moons has Zorbax?", max_num_results=1))
    assert "nine moons" in texts(found) and found[0].file_id == ids["planets"]
    assert found[0].filename == "planets.txt" and found[0].attributes == {"kind": "planets"}
    only = search("moons", filters={"type": "eq", "key": "kind", "value": "recipe"})
    assert {result.file_id for result in only} == {ids["recipe"]}
    both = {"type": "or", "filters": [
        {"type": "eq", "key": "kind", "value": "recipe"},
        {"type": "in", "key": "kind", "value": ["planets"]},
    ]}  # fmt: skip
    assert {r.file_id for r in search("moons", filters=both)} == set(ids.values())
    strict = list(search("Zorbax moons", ranking_options={"score_threshold": 0.999}))
    assert len(strict) < len(list(search("Zorbax moons")))
    assert "turnips" in texts(search(["turnips", "butter"]))
    client.vector_stores.files.delete(ids["planets"], vector_store_id=store.id)
    assert "Zorbax" not in texts(search("How many moons has Zorbax?"))
    client.files.delete(ids["recipe"])
    assert "turnips" not in texts(search("turnips"))
    client.vector_stores.delete(store.id)


def batches(server: "Server") -> None:
    """vector store file batches: create_and_poll, upload_and_poll, list_files"""
    client = connect(server)
    store = client.vector_stores.create(name="batches")
    ids = [
        client.files.create(file=text_file(server, name, text), purpose="assistants").id
        for name, text in (("a.txt", PLANETS), ("b.txt", RECIPE))
    ]
    batch = client.vector_stores.file_batches.create_and_poll(store.id, file_ids=ids)
    assert batch.status == "completed" and batch.file_counts.completed == 2
    listed = client.vector_stores.file_batches.list_files(batch.id, vector_store_id=store.id)
    assert {file.id for file in listed} == set(ids)
    more = client.vector_stores.file_batches.upload_and_poll(
        store.id, files=[text_file(server, "c.txt", "Third text.\n")]
    )
    assert more.status == "completed"
    assert client.vector_stores.retrieve(store.id).file_counts.completed == 3
    client.vector_stores.delete(store.id)


def made_with_files(server: "Server") -> None:
    """vector stores: made with file_ids, chunking_strategy and expires_after"""
    client = connect(server)
    file = client.files.create(file=text_file(server, "p.txt", PLANETS), purpose="assistants")
    store = client.vector_stores.create(
        name="with files",
        file_ids=[file.id],
        chunking_strategy={"type": "auto"},
        expires_after={"anchor": "last_active_at", "days": 7},
    )
    for _ in range(100):
        if client.vector_stores.retrieve(store.id).status == "completed":
            break
        time.sleep(0.1)
    assert "Zorbax" in texts(client.vector_stores.search(store.id, query="moons of Zorbax"))
    client.vector_stores.delete(store.id)


def file_search(server: "Server") -> None:
    """file_search: in a chat and in a response"""
    client = connect(server)
    tool = {"type": "file_search", "vector_store_ids": [server.store], "max_num_results": 3}
    question = "Tell me the latency of Yolutus-11."
    told = client.responses.create(
        model=server.model,
        input=question,
        tools=[tool],
        include=["file_search_call.results"],
        max_output_tokens=20,
    )
    call = next(item for item in told.output if item.type == "file_search_call")
    assert call.status == "completed" and call.queries
    assert any("Yolutus-11" in result.text for result in call.results)
    chat = client.chat.completions.create(
        model=server.model,
        messages=[{"role": "user", "content": question}],
        tools=[tool],
        max_tokens=20,
    )
    assert any("Yolutus-11" in passage for passage in chat.retrieval["passages"])


FEATURES = (
    files,
    stores,
    store_files,
    store_search,
    batches,
    made_with_files,
    file_search,
)
