"""An experiment as data: who asks what of which cluster, what goes wrong, and what should hold.

Times count from when the cluster stands, which is emulated time 0 where it indexes no passages.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError, field_validator

from cluster.chaos.experiments.hypothesis import Claim, claim_of
from configs.nearest import nearest
from configs.outside import MIB, Unreadable, read_text, shown
from configs.schema.errors import ScenarioError
from configs.schema.problems import describe
from configs.schema.section import Section
from configs.units import TEXT, DurationNs, Ratio
from configs.yaml_text import load_yaml

ROOT = Path(__file__).resolve().parents[3] / "configs" / "experiments"
FILE_BYTES_MAX = MIB // 2
REQUESTS_MAX = 20_000


class Cluster(Section):
    """base   a scenario by name, or a file beside this one     set   dotted key -> value"""

    base: str = "demo"
    set: Mapping[str, Any] = Field(default_factory=dict)


class Load(Section):
    """Requests that come evenly, one `every` so long, whatever became of those before.

    prompts   so many different ones, asked in turn; all begin with the same `shared` tokens
    """

    requests: int = Field(ge=1, le=REQUESTS_MAX)
    every_ns: DurationNs = Field(gt=0, validation_alias="every", serialization_alias="every")
    input_length: int = Field(default=40, ge=2, le=4_096)
    output_length: int = Field(default=16, ge=2, le=4_096)
    shared: int = Field(default=0, ge=0, le=4_095)
    prompts: int = Field(default=12, ge=1, le=1_000)
    temperature: Ratio = Field(default=0.0, ge=0, le=2)


class Storm(Section):
    """So many more requests, all at once. They are of the fault phase, and count as its own."""

    at_ns: DurationNs = Field(validation_alias="at", serialization_alias="at")
    requests: int = Field(ge=1, le=REQUESTS_MAX)


class Rolling(Section):
    """From then on every node that can restarts, one after the other."""

    at_ns: DurationNs = Field(validation_alias="at", serialization_alias="at")


class Recovery(Section):
    """The third phase: `after` the last answer of the second so many more are asked, evenly."""

    after_ns: DurationNs = Field(validation_alias="after", serialization_alias="after")
    requests: int = Field(ge=1, le=REQUESTS_MAX)


class Experiment(Section):
    """about     what breaks
    expects      what should come out and why, written before it ever ran
    came_out     what did then, where that says more
    faults       as a scenario has them: of links and of nodes
    hypothesis   comparisons (`cluster.chaos.experiments.hypothesis`)
    """

    about: str = Field(min_length=1)
    expects: str = Field(min_length=1)
    came_out: str = ""
    scenario: Cluster = Cluster()
    load: Load
    faults: list[Any] = Field(default_factory=list)
    storm: Storm | None = None
    rolling_restart: Rolling | None = None
    recovery: Recovery | None = None
    hypothesis: tuple[str, ...] = Field(min_length=1)

    @field_validator("hypothesis")
    @classmethod
    def _can_be_compared(cls, lines: tuple[str, ...]) -> tuple[str, ...]:
        for line in lines:
            claim_of(line)
        return lines

    @property
    def claims(self) -> tuple[Claim, ...]:
        return tuple(claim_of(line) for line in self.hypothesis)


def shipped() -> tuple[str, ...]:
    """Names of the experiments in configs/experiments."""
    return tuple(sorted(path.stem for path in ROOT.glob("*.yaml")))


def experiment_path(name_or_file: str) -> Path:
    """Raises ValueError with the nearest names."""
    path = Path(name_or_file)
    if path.suffix in (".yaml", ".yml"):
        return path
    if name_or_file not in shipped():
        near = nearest(name_or_file, shipped())
        raise ValueError(f"no experiment is called {shown(name_or_file)}: {near}")
    return ROOT / f"{name_or_file}.yaml"


def load_experiment(path: Path) -> Experiment:
    """Raises ScenarioError listing every problem, each with its key; OSError."""
    try:
        body = load_yaml(read_text(path, FILE_BYTES_MAX))
    except Unreadable as error:
        raise ScenarioError(f"cannot read experiment {path}:", [str(error)]) from error
    if not isinstance(body, Mapping):
        wanted = "it must hold the keys about, expects, load and hypothesis"
        raise ScenarioError(f"cannot read experiment {path}:", [wanted])
    try:
        found = Experiment.model_validate(body, context=dict(TEXT))
    except ValidationError as error:
        lines = [line for _, line in describe(Experiment, error)]
        raise ScenarioError(f"{path}: {len(lines)} problem(s)", lines) from error
    if found.claims and any(one.phase == "recovery" for one in found.claims) and not found.recovery:
        wanted = "hypothesis: names the recovery phase, and there is none: give the key recovery"
        raise ScenarioError(f"{path}: 1 problem(s)", [wanted])
    if not (found.faults or found.storm or found.rolling_restart):
        wanted = "faults: nothing goes wrong: give faults, storm or rolling_restart"
        raise ScenarioError(f"{path}: 1 problem(s)", [wanted])
    return found
