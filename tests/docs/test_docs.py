"""The pages name what exists: commands, options, targets, files, keys with defaults, examples.

How: the pages are read as text, and every name in them is looked up where it comes from.
"""

import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from cluster.cli.main import app
from configs.presets import KINDS, preset_names
from configs.schema import DeviceSpec, LinkSpec, load_scenario
from configs.units import DURATION, TEXT
from tests.docs.pages import (
    PAGES,
    ROOT,
    blocks,
    commands,
    documented_keys,
    files,
    schema_keys,
    text,
)

# What a reader makes, or a command writes: not in the repository.
MADE_BY_READERS = (
    ".venv/",
    ".venv/bin",
    "bursts.yaml",
    "build/peers/",
    "checkpoints/qwen3-moe",
    "delays.txt",
    "notes.index",
    "out/",
    "out/demo",
    "out/fuzz/",
    "out/demo/summary.json",
    "out/mutants/",
)
PLACEHOLDER = re.compile(r"NAME|FOLDER")


def perfuse() -> Any:
    command = typer.main.get_command(app)
    assert hasattr(command, "commands"), "perfuse is a group of commands"
    return command


@pytest.mark.parametrize("page", PAGES)
def test_commands_exist_with_their_options(page: str) -> None:
    known = perfuse().commands
    for words in commands(page):
        if words[0] != "perfuse":
            continue
        assert words[1] in known, f"{page}: {' '.join(words)}"
        command = known[words[1]]
        if hasattr(command, "commands"):
            assert words[2] in command.commands, f"{page}: {' '.join(words)}"
            command = command.commands[words[2]]
        options = [option for param in command.params
                   for option in (*param.opts, *param.secondary_opts)]  # fmt: skip
        used = [word.split("=")[0] for word in words[2:] if word.startswith("--")]
        assert not [o for o in used if o not in options], f"{page}: {' '.join(words)}"


@pytest.mark.parametrize("page", PAGES)
def test_make_targets_exist(page: str) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    prose = re.findall(r"`make ([a-z-]+)[ `]", text(page))
    shown = [words[1] for words in commands(page) if words[0] == "make"]
    for target in (*prose, *shown):
        assert re.search(rf"\b{target}\b", makefile), f"{page}: make {target}"


def test_every_command_is_shown_in_the_readme() -> None:
    """`make demo` is how the readme calls `perfuse demo`."""
    shown = [words[1] for words in commands("README.md")]
    assert not [name for name in perfuse().commands if name not in shown]


@pytest.mark.parametrize("page", PAGES)
def test_files_exist(page: str) -> None:
    missing = [
        name
        for name in files(page)
        if name not in MADE_BY_READERS
        and not PLACEHOLDER.search(name)
        and not (ROOT / name).exists()
    ]
    assert not missing, f"{page} names {missing}"


def test_every_key_of_the_schema_is_documented_and_no_other() -> None:
    documented, known = documented_keys(), schema_keys()
    assert [key for key in known if key not in documented] == []
    # `base` is the loader's: it is gone before the schema sees the file.
    assert [key for key in documented if key not in known and key != "base"] == []


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_preset_is_named(kind: str) -> None:
    page = text("docs/scenarios.md")
    assert [name for name in preset_names(kind) if f"`{name}`" not in page] == []


def shown_default(said: str, default: object) -> bool:
    """Whether a table's word for a default is right; durations are in nanoseconds inside."""
    if isinstance(default, bool):
        return said == str(default).lower()
    if isinstance(default, int | float):
        return said == f"{default:g}" or (" " in said and DURATION.parse(said) == default)
    if isinstance(default, str):
        return said == (default or "empty")
    return True  # None and containers are told in words


def test_documented_defaults_are_the_schemas() -> None:
    said = documented_keys()
    wrong = [
        f"{key}: {said[key]}, not {default!r}"
        for key, default in schema_keys().items()
        if not shown_default(said[key].strip("`"), default)
    ]
    assert wrong == []


@pytest.mark.parametrize("page", PAGES)
def test_yaml_examples_load(page: str, tmp_path: Path) -> None:
    for number, example in enumerate(blocks(page, "yaml")):
        value = yaml.safe_load(example)
        if "tiers" in value:
            DeviceSpec.model_validate(value, context=dict(TEXT))
        elif "bandwidth" in value:
            LinkSpec.model_validate(value, context=dict(TEXT))
        else:
            path = tmp_path / f"example-{number}.yaml"
            path.write_text(example, encoding="utf-8")
            load_scenario(path)


@pytest.mark.parametrize("page", PAGES)
def test_python_examples_compile(page: str) -> None:
    for example in blocks(page, "python"):
        compile(example, page, "exec")


def test_the_picture_is_what_its_script_draws() -> None:
    path = ROOT / "docs" / "draw_architecture.py"
    spec = importlib.util.spec_from_file_location("draw_architecture", path)
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    assert script.drawn() == (ROOT / "docs" / "architecture.svg").read_text(encoding="utf-8")
