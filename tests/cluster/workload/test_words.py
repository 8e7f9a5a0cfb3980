"""Prompts that are cut: as the router would write them."""

import pickle
import shutil
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from cluster.api.request import Request
from cluster.router.prompts import prompt_text
from cluster.text.dates import VIRTUAL_DATE, clock_of
from cluster.text.tokenizer import Tokenizer
from cluster.workload.words import Words
from workers.model.sampling_params import SamplingParams

VOCAB = 512
DATED = "{% for m in messages %}{{ strftime_now('%d %b %Y') }}"
TEXTS = DATED + "{{ m.content }}{% endfor %}"
PARTS = DATED + "{% for p in m.content %}{{ p.text }}{% endfor %}{% endfor %}"
MESSAGES = ({"role": "user", "content": "word " * 40},)


def words(folder: Path, template: str, world: str = "virtual") -> Words:
    (folder / "chat_template.jinja").write_text(template)
    return Words(folder, VOCAB, clock_of(world))


def test_a_cut_prompt_begins_as_the_whole_one(tiny_model_folder: Path, tmp_path: Path) -> None:
    """With the date of its world, in the shape that the template reads, in another process too."""
    folder = Path(shutil.copytree(tiny_model_folder, tmp_path / "model"))
    request = Request("r", "m", SamplingParams(), messages=MESSAGES)
    for template in (TEXTS, PARTS):
        made = words(folder, template)
        tokenizer = Tokenizer.load(folder, clock_of("virtual"))
        whole = prompt_text(request, (), tokenizer)
        assert whole == "01 Jan 2026" + "word " * 40
        ids = tokenizer.encode(whole)
        for mine in (made, pickle.loads(pickle.dumps(made))):
            assert mine.cut(request, 10) == replace(
                request, messages=(), prompt_ids=tuple(ids[:10])
            )
            assert mine.cut(request, len(ids)) is request


def test_dates_by_world() -> None:
    assert clock_of("virtual")() == VIRTUAL_DATE
    for world in ("process", "local"):
        assert abs((clock_of(world)() - datetime.now()).total_seconds()) < 60
