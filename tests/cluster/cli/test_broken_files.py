"""One line that says what is wrong with the file that was named, and with no other."""

import json
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cluster.cli.main import app
from tests.configs.published import QWEN3_30B

runner = CliRunner()
TEXT = json.dumps(QWEN3_30B)


def run(*arguments: str) -> tuple[int, str]:
    result = runner.invoke(app, list(arguments))
    return result.exit_code, result.output.strip()


@pytest.mark.parametrize("name", ["config.json", "other.json", "x.JSON"])
@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "is not JSON"),
        (TEXT.encode("utf-16"), "is not UTF-8 text at byte 0"),
        (b"[]", "holds a list; it must be a JSON object"),
        (b"{}", "architectures is None"),
        (TEXT.encode()[:-1], "is not JSON"),
        (TEXT.replace('"num_hidden_layers": 48', '"num_hidden_layers": 18446744073709551616')
            .encode(), "num_hidden_layers is 18446744073709551616, an integer of 65 bits"),
        (TEXT.replace('"num_hidden_layers": 48', f'"num_hidden_layers": {10**24}')
            .encode(), f"'num_hidden_layers' is {10**24}, an integer of 25 digits"),
    ],
    ids=["empty", "UTF-16", "a list", "no keys", "cut", "65 bits", "25 digits"],
)  # fmt: skip
def test_a_broken_config_is_told_as_one(tmp_path: Path, name: str, data: bytes, told: str) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    code, text = run("show", str(path))
    assert (code, text.count("\n")) == (2, 0)
    assert text.startswith(f"error: {path}: ") and told in text


def test_what_is_fine_is_shown_whatever_its_name_and_a_scenario_stays_one(tmp_path: Path) -> None:
    path = tmp_path / "x.JSON"
    path.write_text(TEXT)
    assert "30.53 B parameters" in run("show", str(path))[1]
    path = tmp_path / "scenario.json"
    path.write_text(json.dumps({"base": "demo", "seed": 3}))
    assert run("show", str(path))[0] == 0
    path.write_text('{"cluster": {}}')
    assert "cluster.world" in run("show", str(path))[1] or "workload" in run("show", str(path))[1]


def test_names_of_documents(tmp_path: Path) -> None:
    folder = tmp_path / "texts"
    folder.mkdir()
    (folder / "a.txt").write_text("one text")
    os.mkfifo(folder / "pipe.txt")
    (folder / "gone.md").symlink_to(folder / "nowhere.md")
    (folder / ".hidden.txt").symlink_to(folder / "nowhere.md")
    code, text = run("index", str(folder), "--out", str(tmp_path / "out"))
    assert code == 0 and "1 passages of 1 files" in " ".join(text.split())
    for name in ("pipe.txt", "gone.md"):
        assert f"{name}: is no file" in " ".join(text.split())
    assert "hidden" not in text
    with open(os.fsencode(folder) + b"/b\xff.txt", "wb") as file:
        file.write(b"words")
    code, text = run("index", str(folder), "--out", str(tmp_path / "out"))
    assert code == 2 and r"b'b\xff.txt': its name is not UTF-8" in " ".join(text.split())
