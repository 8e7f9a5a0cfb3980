"""Networks of nodes in one process, and of nodes that are processes and share a segment."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.workers.wire.fabric import bench


@pytest.fixture(params=["in one process", "as processes"])
def stand(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[None]:
    """Where `bench_of` lets nodes stand: what comes of it is the same."""
    if request.param == "as processes":
        monkeypatch.setattr(bench, "SEGMENTS", tmp_path)
    yield
    while bench.MADE:
        bench.MADE.pop().close()
