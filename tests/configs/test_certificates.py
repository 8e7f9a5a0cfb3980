"""A cluster's certificates are looked at before anything starts, and what is wrong is named."""

import io
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from cluster.cli.show import render
from cluster.worlds.blueprint import Blueprint
from configs.certificates import CA, CA_KEY, CERTIFICATE, KEY, read_certificates
from configs.new_certificates import make_certificates
from configs.plan import make_plan
from configs.schema import load_scenario
from configs.schema.wires import LOOPBACK
from tests.certificates import cluster_folder, made_apart, signed_by_ours
from tests.configs.test_plan import TINY, problems

DAY_S = 24 * 3600


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A cluster's, to spoil."""
    return Path(shutil.copytree(cluster_folder(), tmp_path / "certs"))


def test_what_was_made_is_read_and_says_how_long_it_holds(folder: Path) -> None:
    found = read_certificates(folder, LOOPBACK)
    assert found.ca == (folder / CA).read_bytes() != found.certificate
    assert found.key == (folder / KEY).read_bytes()
    assert len(found.until) == len("2030-01-01")
    assert "PRIVATE" not in repr(found)


def replaced(name: str) -> Callable[[Path], None]:
    """With that file of another cluster's."""

    def spoil(folder: Path) -> None:
        shutil.copy(made_apart(folder.parent / "other") / name, folder / name)

    return spoil


def written(name: str, text: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_text(text)


def without_key(folder: Path) -> None:
    (folder / KEY).unlink()


def a_folder_for_a_key(folder: Path) -> None:
    without_key(folder)
    (folder / KEY).mkdir()


SPOILT: dict[str, tuple[Callable[[Path], object], str]] = {
    "no folder": (shutil.rmtree, r"certs: there is no such folder: `perfuse certs .*` makes it"),
    "no key": (without_key, r"node\.key: is missing: a cluster's folder has"),
    "without authority": (lambda f: (f / CA).unlink(), r"ca\.crt: is missing"),
    "a folder for a file": (
        a_folder_for_a_key,
        r"node\.key: is a folder: it must be a regular file",
    ),
    "all may read": (
        lambda f: (f / KEY).chmod(0o644),
        r"node\.key: others than its owner may use it \(mode 0644\): chmod 600",
    ),
    "the group may read": (lambda f: (f / KEY).chmod(0o640), r"mode 0640"),
    "all may read the authority's": (lambda f: (f / CA_KEY).chmod(0o604), r"ca\.key: .*0604"),
    "another key": (replaced(KEY), r"node\.key is not the key of node\.crt"),
    "another certificate": (replaced(CERTIFICATE), r"node\.key is not the key of node\.crt"),
    "another authority": (
        replaced(CA),
        r"node\.crt: it was not signed by this cluster's authority",
    ),
    "no PEM": (written(CERTIFICATE, "hello"), r"node\.crt or node\.key is not in PEM"),
    "an empty authority": (written(CA, ""), r"ca\.crt: is no certificate in PEM"),
    "no authority at all": (
        lambda f: shutil.copy(f / CERTIFICATE, f / CA),
        r"ca\.crt: is no authority",
    ),
}


@pytest.mark.parametrize("name", SPOILT)
def test_what_is_wrong_is_named_with_its_file(folder: Path, name: str) -> None:
    spoil, said = SPOILT[name]
    spoil(folder)
    with pytest.raises(ValueError, match=said) as told:
        read_certificates(folder, LOOPBACK)
    assert str(folder) in str(told.value)


def test_an_expired_certificate_is_named_with_its_day(tmp_path: Path) -> None:
    folder = signed_by_ours(tmp_path / "certs", days=-1)
    with pytest.raises(ValueError, match=r"node\.crt: has expired: it was valid until .* GMT: "):
        read_certificates(folder, LOOPBACK)


def test_an_expired_authority_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A year and a day after both were made."""
    folder, now_s = cluster_folder(), time.time()
    monkeypatch.setattr("configs.certificates.time.time", lambda: now_s + 366 * DAY_S)
    with pytest.raises(ValueError, match=r"ca\.crt: has expired: it was valid until"):
        read_certificates(folder, LOOPBACK)


def test_one_that_is_not_valid_yet_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = cluster_folder()
    monkeypatch.setattr("configs.certificates.time.time", lambda: 0.0)
    with pytest.raises(ValueError, match=r"ca\.crt: is valid from .* on: is this machine's clock"):
        read_certificates(folder, LOOPBACK)


def test_a_certificate_of_another_machine_is_named(tmp_path: Path) -> None:
    folder = signed_by_ours(tmp_path / "certs", names="DNS:elsewhere.lab")
    with pytest.raises(ValueError, match=r"node\.crt: .*not valid for '127\.0\.0\.1'"):
        read_certificates(folder, LOOPBACK)
    assert read_certificates(folder, "elsewhere.lab").until


LOCAL = {"cluster.world": "local", "cluster.certificates": "certs"}


def test_a_cluster_with_bad_certificates_is_refused_with_the_key(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything starts; relative to the working directory where --set gives it."""
    monkeypatch.chdir(folder.parent)
    make_plan(load_scenario("demo", LOCAL), TINY)  # raises nothing
    (folder / KEY).chmod(0o644)
    (found,) = problems(LOCAL)
    assert found.startswith("cluster.certificates: ") and "chmod 600" in found


def test_a_scenario_file_s_folder_lies_beside_it(folder: Path) -> None:
    scenario = folder.parent / "s.yaml"
    scenario.write_text("base: demo\ncluster: {world: local, certificates: certs}\n")
    loaded = load_scenario(scenario)
    assert loaded.cluster.certificates == str(folder)
    make_plan(loaded, TINY)
    shutil.rmtree(folder)
    with pytest.raises(ValueError, match="is neither beside this file"):
        load_scenario(scenario)


@pytest.mark.parametrize("world", ["virtual", "process"])
def test_within_one_process_nobody_asks_for_them(world: str) -> None:
    """Nothing crosses a wire there, so a scenario's folder may be on another machine."""
    make_plan(load_scenario("demo", {**LOCAL, "cluster.world": world}), TINY)


@pytest.mark.parametrize("transport", ["ucx", "shm"])
def test_a_wire_that_has_no_tls_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch, transport: str
) -> None:
    """A key that says how frames are secured must not be one that does nothing."""
    monkeypatch.setattr("configs.plan.problems.has_ucx", lambda: True)
    monkeypatch.setattr("configs.plan.problems.shm_hindrance", lambda: "")
    chosen = {**LOCAL, "cluster.certificates": str(folder), "cluster.transport": transport}
    (found,) = problems(chosen)
    assert found.startswith(f"cluster.certificates: is given, and frames move by '{transport}'")


def test_auto_is_grpc_with_them() -> None:
    cluster = load_scenario("demo", {**LOCAL, "cluster.transport": "auto"}).cluster
    assert cluster.frames_by == "grpc"


@pytest.mark.parametrize(("world", "told"), [("local", "grpc with TLS"), ("virtual", "memory")])
def test_show_says_how_frames_are_secured(folder: Path, world: str, told: str) -> None:
    chosen = {**LOCAL, "cluster.certificates": str(folder), "cluster.world": world}
    drawn = Blueprint.draw(load_scenario("demo", chosen), needs_weights=False)
    drawing = io.StringIO()
    Console(width=120, file=drawing).print(render(drawn.plan, drawn.scenario, drawn.model))
    assert f"frames by {told}\n" in re.sub(" +\n", "\n", drawing.getvalue())


def test_two_makings_are_two_clusters(tmp_path: Path) -> None:
    one, other = (make_certificates(tmp_path / name) for name in ("a", "b"))
    assert one.ca != other.ca and one.key != other.key and one.certificate != other.certificate
