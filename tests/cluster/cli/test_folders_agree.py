"""Whether a model folder works: `show`, `run` and `serve` say the same of it, in one line."""

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from cluster.cli.main import app

WORKS = """{% for m in messages %}{% if m.content == 'robot' %}{{ raise_exception('no robots') }}
{% endif %}{% if m.skip %}{% continue %}{% endif %}
{% generation %}{{ strftime_now('%Y') }}{{ m.content | tojson(ensure_ascii=false) }}
{% endgeneration %}{% endfor %}"""

BROKEN = {
    "a tag that nobody knows": "{% nonsense %}",
    "a block without end": "{% for m in messages %}",
    "a filter that nobody knows": "{{ messages | nonsense }}",
    "a generation without end": "{% generation %}",
}


@pytest.fixture
def folder(tiny_model_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_model_folder, tmp_path / "model"))


def say(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, list(arguments))
    return result.exit_code, " ".join(result.output.split())


def commands(folder: Path) -> list[list[str]]:
    path = ["--set", f"model.path={folder}"]
    small = ["--set", "workload.arrivals.closed.num_requests=2"]
    return [
        ["show", str(folder)],
        ["show", "demo", *path],
        ["run", "demo", "--world", "virtual", *path, *small],
        ["serve", "--model", str(folder), "--port", "0"],
        ["serve", "demo", *path, "--port", "0"],
    ]


def refused(folder: Path) -> set[str]:
    """What they say, without what leads to it: one line when they agree."""
    told = set()
    for command in commands(folder):
        code, text = say(*command)
        assert code == 2, (command, text)
        told.add(text[text.index(str(folder)) :])
    return told


@pytest.mark.parametrize("name", BROKEN)
def test_none_takes_a_template_that_cannot_be_compiled(name: str, folder: Path) -> None:
    (folder / "chat_template.jinja").write_text(BROKEN[name])
    (line,) = refused(folder)
    assert "chat_template.jinja: chat template, line 1: " in line and len(line) < 500


@pytest.mark.parametrize(
    ("file", "content", "told"),
    [
        ("tokenizer.json", "{", "tokenizer.json"),
        ("tokenizer.json", '{"model": {}}', "decoder is None; it must be of type"),
        ("tokenizer_config.json", "[]", "tokenizer_config.json"),
        ("special_tokens_map.json", "[]", "special_tokens_map.json"),
        ("additional_chat_templates/tool_use.jinja", "{% if %}", "tool_use.jinja: chat template"),
    ],
)
def test_nor_what_else_is_broken(folder: Path, file: str, content: str, told: str) -> None:
    (folder / file).parent.mkdir(exist_ok=True)
    (folder / file).write_text(content)
    (line,) = refused(folder)
    assert told in line


def test_all_take_a_template_of_everything(folder: Path) -> None:
    """`serve` too, and it says what the template refuses."""
    (folder / "chat_template.jinja").write_text(WORKS)
    for command in commands(folder)[:3]:
        code, text = say(*command)
        assert code == 0, (command, text)
    command = [sys.executable, "-m", "cluster.cli.main", *commands(folder)[3]]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        line = next(line for line in process.stdout if line.startswith("serving"))
        url = line[line.index("http://") :].split("/v1")[0] + "/v1/chat/completions"
        for content, status in (("é", 200), ("robot", 400)):
            body: dict[str, Any] = {"model": folder.name, "max_tokens": 2}
            body["messages"] = [{"role": "user", "content": content}]
            answer = httpx.post(url, json=body, timeout=30)
            assert answer.status_code == status, answer.text
        assert "no robots" in answer.text
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
    assert process.returncode == 0


def test_plans_from_a_config_alone_read_no_text(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "alone.json").write_text((folder / "config.json").read_text())
    (tmp_path / "chat_template.jinja").write_text("{% nonsense %}")
    assert say("show", str(tmp_path / "alone.json"))[0] == 0
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": 3}))
    assert say("show", str(folder))[0] == 0
