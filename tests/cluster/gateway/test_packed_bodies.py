"""What is wrong with a body as a whole, or with a form, in words that say it."""

import asyncio
import gzip
import json

import pytest

from tests.cluster.gateway.fake_router import MODEL, world

pytestmark = pytest.mark.live


def test_a_packed_body_is_a_415_that_names_it() -> None:
    async def main() -> None:
        async with world() as w:
            raw = json.dumps({"model": MODEL, "prompt": "a"}).encode()
            for name in ("gzip", "br"):
                head = {"content-encoding": name}
                for path in ("/v1/completions", "/v1/vector_stores", "/v1/embeddings"):
                    answer = await w.http.post(path, content=gzip.compress(raw), headers=head)
                    error = answer.json()["error"]
                    assert (answer.status_code, error["code"]) == (415, "unsupported_encoding")
                    assert f"content-encoding is '{name}'" in error["message"]
            head = {"content-encoding": "identity"}
            answer = await w.http.post("/v1/completions", content=raw, headers=head)
            assert answer.status_code == 200
            answer = await w.http.post("/v1/completions", content=b"x" * 900_000, headers={
                "content-encoding": "gzip"})  # fmt: skip
            assert answer.status_code == 415

    asyncio.run(main())


def test_a_form_says_what_is_wrong_with_it() -> None:
    async def main() -> None:
        async with world() as w:
            files, data = {"file": ("n" * 5000 + ".txt", b"words")}, {"purpose": "assistants"}
            answer = await w.http.post("/v1/files", files=files, data=data)
            assert answer.status_code == 400
            assert "is the file's name? 4,000 bytes are read" in answer.text
            files = {"file": ("n" * 4000 + ".txt", b"words")}
            assert (await w.http.post("/v1/files", files=files, data=data)).status_code == 200
            head = {"content-type": "multipart/form-data; boundary=b"}
            answer = await w.http.post("/v1/files", content=b"--c\r\n", headers=head)
            assert answer.status_code == 400
            assert "the form is malformed: " in answer.text and "oundary" in answer.text

    asyncio.run(main())
