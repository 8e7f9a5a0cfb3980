"""Chat templates beside `transformers` without anybody else's: ones in the manner of each named
family, and archives that the test makes.
"""

import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from benchmarks.templates import packages
from benchmarks.templates.conversations import CONVERSATIONS
from benchmarks.templates.renderings import Pair, Rendering, pairs

FAMILIES = sorted((Path(__file__).parents[1] / "cluster" / "text" / "families").glob("*.jinja"))
LOOP = "{% for m in messages %}{{ m.content }}{% endfor %}"


@pytest.mark.parametrize("path", FAMILIES, ids=lambda path: path.stem)
def test_named_families_render_as_transformers_does(path: Path, tmp_path: Path) -> None:
    """26 conversations, each with and without the beginning of an answer."""
    made = list(pairs(path.stem, path.read_text(encoding="utf-8"), tmp_path))
    assert len(made) == 2 * len(CONVERSATIONS) == 52
    assert not [pair.told() for pair in made if not pair.is_equal]
    shown = {pair.conversation: pair.ours.text for pair in made}
    for needed in ("one message", "several turns", "tools", "a call and its result"):
        assert shown[needed] is not None
    assert "get_weather" in str(shown["tools"]) and "get_weather" not in str(shown["one message"])


def test_all_named_families_are_tried() -> None:
    names = ["deepseek", "glm", "gpt_oss", "kimi_k2", "llama3", "mistral", "qwen3"]
    assert [path.stem for path in FAMILIES] == names


def test_a_difference_is_seen() -> None:
    same, other, none = Rendering("a"), Rendering("ab"), Rendering(None, "no")
    assert Pair("t", "c", same, same).is_equal and Pair("t", "c", none, none).is_refused
    for ours, theirs in ((same, other), (same, none), (none, same)):
        pair = Pair("t", "c", ours, theirs)
        assert not pair.is_equal and not pair.is_refused and "t / c" in pair.told()


def test_templates_are_found_in_files_and_in_strings(tmp_path: Path) -> None:
    """Of two equal ones the first; what has no loop over messages is none."""
    wheel, source = tmp_path / "one-1-py3-none-any.whl", tmp_path / "two-1.tar.gz"
    with zipfile.ZipFile(wheel, "w") as file:
        file.writestr("one/a.jinja", LOOP)
        file.writestr("one/b.jinja", "{{ bos_token }}")
        file.writestr("one/c.py", f"A = {LOOP + 'x'!r}\nB = {LOOP!r}\nC = 'messages'\n")
        file.writestr("one/broken.py", LOOP)
        file.writestr("one/readme.txt", LOOP + "y")
    with tarfile.open(source, "w:gz") as tar:
        content = (LOOP + "z").encode()
        member = tarfile.TarInfo("two/a.jinja")
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content))
    assert packages.templates([wheel, source]) == {
        "one: a.jinja": LOOP,
        "one: c.py": LOOP + "x",
        "two: a.jinja": LOOP + "z",
    }


def test_what_is_there_is_not_downloaded_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packages, "PACKAGES", ("some-name==1.2",))
    with monkeypatch.context() as offline:
        offline.setenv("PIP_NO_INDEX", "1")
        with pytest.raises(OSError, match=r"some-name==1\.2 cannot be downloaded: "):
            packages.download(tmp_path)
    (tmp_path / "some_name-1.2-py3-none-any.whl").write_bytes(b"")
    assert [path.name for path in packages.download(tmp_path)] == ["some_name-1.2-py3-none-any.whl"]
