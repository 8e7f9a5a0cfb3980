"""The image: read and judged here, built where a Docker daemon answers."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.deploy.files import ROOT, text

INSTRUCTIONS = (
    "ADD ARG CMD COPY ENTRYPOINT ENV EXPOSE FROM HEALTHCHECK LABEL RUN SHELL STOPSIGNAL USER "
    "VOLUME WORKDIR"
).split()
# Without them an image has old lists of packages, or more than was asked for, or the lists.
APT = ("apt-get update", "--no-install-recommends", "rm -rf /var/lib/apt/lists/*")
# Each is a layer of what is shipped; those of a stage that is left behind are not.
LAYERS_MAX = 4
IGNORED = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()


@dataclass(frozen=True)
class Line:
    word: str
    rest: str


def lines_of(dockerfile: str) -> Iterator[Line]:
    """Instructions, continued lines put together, comments left out."""
    kept = [line for line in dockerfile.splitlines() if not line.lstrip().startswith("#")]
    for line in "\n".join(kept).replace("\\\n", " ").splitlines():
        if line.strip():
            word, _, rest = line.strip().partition(" ")
            yield Line(word.upper(), " ".join(rest.split()))


def stages(dockerfile: str) -> list[list[Line]]:
    found: list[list[Line]] = []
    for line in lines_of(dockerfile):
        if line.word == "FROM":
            found.append([])
        if found:
            found[-1].append(line)
    return found


def faults(dockerfile: str) -> list[str]:
    """What the image may not do, as far as its recipe tells."""
    found = [f"{line.word}: no such instruction" for line in lines_of(dockerfile)
             if line.word not in INSTRUCTIONS]  # fmt: skip
    names: list[str] = []
    for stage in stages(dockerfile):
        base, _, name = stage[0].rest.partition(" AS ")
        if not re.fullmatch(r"[\w./-]+:[\w.-]*\d[\w.-]*", base) and base not in names:
            found.append(f"FROM {base}: no version")
        found += [fault for line in stage for fault in _faults(line, names)]
        names.append(name)
    users = [line.rest for line in stages(dockerfile)[-1] if line.word == "USER"]
    if not users or users[-1].split(":")[0] in ("root", "0"):
        found.append("USER: root")
    return found


def _faults(line: Line, names: list[str]) -> Iterator[str]:
    if line.word == "ADD":
        yield f"ADD {line.rest}: COPY says what it does"
    if line.word == "WORKDIR" and not line.rest.startswith("/"):
        yield f"WORKDIR {line.rest}: not absolute"
    is_apt = line.word == "RUN" and "apt-get install" in line.rest
    if is_apt and not all(part in line.rest for part in APT):
        yield f"RUN {line.rest}: not as packages are installed: {', '.join(APT)}"
    if line.word == "RUN" and "pip install" in line.rest and "--no-cache-dir" not in line.rest:
        yield f"RUN {line.rest}: pip's cache is left behind"
    if line.word in ("ENV", "ARG") and re.search(r"TOKEN=|PASSWORD=|SECRET=", line.rest):
        yield f"{line.word}: a secret would be in the image"
    if line.word == "COPY":
        yield from _faults_of_copy(line.rest, names)


def _faults_of_copy(rest: str, names: list[str]) -> Iterator[str]:
    *sources, _ = [word for word in rest.split() if not word.startswith("--")]
    stage = re.search(r"--from=(\S+)", rest)
    if stage is not None:
        if stage[1] not in names:
            yield f"COPY {rest}: no stage before it is called {stage[1]}"
        return
    for source in sources:
        if not (ROOT / source).exists():
            yield f"COPY {source}: is not in the repository"
        elif f"!{source}" not in IGNORED:
            yield f"COPY {source}: .dockerignore keeps it from the build"


def test_the_image_does_what_images_should():
    assert faults(text("Dockerfile")) == []


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (("FROM python:3.11-slim-bookworm\n", "FROM python:latest\n"), "FROM python:latest"),
        (("FROM python:3.11-slim-bookworm\n", "FROM python\n"), "FROM python: no version"),
        (("USER 1000:1000", "USER root"), "USER: root"),
        (("USER 1000:1000\n", ""), "USER: root"),
        (("COPY workers workers", "ADD https://example.org/a.tar /a"), "ADD https"),
        (("COPY workers workers", "COPY worker worker"), "COPY worker: is not in"),
        (("COPY workers workers", "COPY tests tests"), "COPY tests: .dockerignore"),
        (("--from=build", "--from=builder"), "no stage before it"),
        (("WORKDIR /source", "WORKDIR source"), "WORKDIR source: not absolute"),
        (
            (" && rm -rf /var/lib/apt/lists/* \\\n && useradd", " && useradd"),
            "not as packages are installed",
        ),
        (("RAY_AUTH_MODE=token", "RAY_AUTH_TOKEN=abc"), "a secret would be"),
        (("pip install --no-cache-dir --no-deps", "pip install --no-deps"), "pip's cache"),
        (("WORKDIR /source", "WORKDIRS /source"), "WORKDIRS: no such instruction"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_planted_is_found(change, found):
    changed = text("Dockerfile").replace(*change)
    assert changed != text("Dockerfile")
    assert [fault for fault in faults(changed) if found in fault]


def test_layers_are_few():
    last = stages(text("Dockerfile"))[-1]
    assert len([line for line in last if line.word in ("RUN", "COPY", "WORKDIR")]) <= LAYERS_MAX


def test_a_compiler_is_only_where_the_kernels_are_built():
    first, last = stages(text("Dockerfile"))
    assert any("g++" in line.rest for line in first)
    assert not any("g++" in line.rest for line in last)


def test_one_python_in_both_stages():
    """An environment holds links to the Python that made it."""
    first, last = stages(text("Dockerfile"))
    assert first[0].rest.partition(" AS ")[0] == last[0].rest


def test_what_runs_finds_ray_and_asks_for_a_token():
    (env,) = [line.rest for line in stages(text("Dockerfile"))[-1] if line.word == "ENV"]
    assert "PATH=/opt/perfuse/bin:$PATH" in env
    assert "RAY_AUTH_MODE=token" in env.split()


def test_the_build_sees_neither_libraries_of_this_machine_nor_anything_unnamed():
    assert next(line for line in IGNORED if line and not line.startswith("#")) == "*"
    assert {"**/*.so", "**/__pycache__"} <= set(IGNORED)


@pytest.fixture
def docker() -> str:
    """The command, where a daemon answers and can have the image that ours begins with."""
    command = shutil.which("docker")
    if command is None:
        pytest.skip("no docker here")
    base = stages(text("Dockerfile"))[-1][0].rest
    for needed in (["info"], ["pull", "--quiet", base]):
        asked = subprocess.run([command, *needed], capture_output=True, text=True, timeout=600)
        if asked.returncode != 0:
            pytest.skip(f"docker {needed[0]}: {asked.stderr.strip()[:200]}")
    return command


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_it_builds_and_runs(docker):
    """Minutes, and a registry: where neither is to be had, nothing is claimed."""
    build = [docker, "build", "--quiet", "--file", "deploy/Dockerfile", "."]
    built = subprocess.run(build, cwd=ROOT, capture_output=True, text=True, timeout=3500)
    assert built.returncode == 0, built.stderr[-2000:]
    image = built.stdout.strip()
    code = "import kernels, os; print(kernels.build_info().native, os.getuid())"
    ran = subprocess.run(
        [docker, "run", "--rm", image, "python", "-P", "-c", code],
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert ran.stdout.split() == ["True", "1000"], ran.stderr
