"""Words of `perfuse scale`; what becomes of them is `tests/cluster/worlds/machines`."""

import pytest
from typer.testing import CliRunner

from cluster.cli.machines import _counts
from cluster.cli.main import app


def test_each_word_is_a_group_and_its_count() -> None:
    assert _counts(["decode=4", "prefill=02"]) == {"decode": 4, "prefill": 2}


@pytest.mark.parametrize(
    "word",
    ["decode=x", "decode=-1", "decode=0", "decode", "=4", "decode=", "decode=1.5", "decode=\u0664"],
)
def test_bad_words_are_refused_before_anybody_is_asked(word: str) -> None:
    done = CliRunner().invoke(app, ["scale", word, "--address", "127.0.0.1:9"])
    assert done.exit_code == 2
    assert f"{word!r}: must be GROUP=COUNT with a count of 1 or more" in done.stderr


def test_a_group_is_named_once() -> None:
    done = CliRunner().invoke(app, ["scale", "decode=1", "decode=2"])
    assert done.exit_code == 2 and "'decode=2': decode is named twice" in done.stderr
