"""What the search once found, each shrunk by itself: no law is broken any more."""

from pathlib import Path

import pytest

from cluster.chaos.work import Worker
from cluster.chaos.written import read_trial

FOUND = sorted((Path(__file__).parent / "regressions").glob("*.yaml"))


@pytest.mark.parametrize("path", FOUND, ids=lambda path: path.stem)
def test_it_is_mended(path: Path, tmp_path: Path) -> None:
    seen = Worker("digest", tmp_path).run(read_trial(path))
    assert not seen.broken
    assert seen.num_fired, "or nothing went wrong"
