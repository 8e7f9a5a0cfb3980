"""All that a node is built from, in one picklable piece: scenario, plan and model. Made before
anything starts.
"""

from dataclasses import dataclass
from pathlib import Path

from cluster.faults.problems import check_faults
from cluster.network.build import longest_ns
from cluster.network.problems import check_network
from configs.checkpoint_files import has_weights
from configs.families import load_model
from configs.model_config import ModelConfig
from configs.model_presets import is_model_name
from configs.plan import NodePlan, Plan, make_plan
from configs.presets import model_folder
from configs.schema import Scenario, ScenarioError
from configs.shapes.as_config import load_described
from workers.model.checkpoint import verify
from workers.wire.curve import one_way_ns

# With emulation off nothing has an emulated duration, and a promise made in emulated time means
# nothing: requests get this long on the wall instead.
REAL_DEADLINE_NS = 120_000_000_000
# One call is given up after this share of a request's deadline, so that its failure can still be
# told in time.
CALL_SHARE = 4
# But never sooner than after so many round trips of the longest path: one that is lost, what tells
# of its loss, and one that is answered.
CALL_ROUND_TRIPS = 3


@dataclass(frozen=True, slots=True)
class Blueprint:
    """What is to stand."""

    scenario: Scenario
    plan: Plan
    model: ModelConfig
    folder: Path

    @classmethod
    def draw(cls, scenario: Scenario, *, needs_weights: bool = True) -> "Blueprint":
        """Read the model's description and plan; nothing starts. A plan alone needs no weights, but
        what is there must fit: every command begins here, so that all of them take a folder or
        none does.

        Raises CheckpointError for a broken checkpoint, ScenarioError for an impossible cluster.
        """
        from cluster.text.tokenizer import open_tokenizer  # most nodes read no text

        folder = model_folder(scenario.model.path)
        model = _model(scenario, folder, needs_weights=needs_weights)
        plan = make_plan(scenario, model)
        check_faults(scenario, plan.directory)
        check_network(scenario)
        is_real = scenario.model.numerics == "real"  # else weights, if there are any, are not read
        if is_real and (needs_weights or has_weights(folder)):
            verify(folder, model)
        open_tokenizer(folder, model.vocab)
        if not is_real and scenario.model.routing.replay is not None:
            from workers.model.digest.recorded import read_routing

            read_routing(scenario.model.routing.replay).fitting(model)
        return cls(scenario, plan, model, folder)

    @property
    def deadline_ns(self) -> int:
        """Of a request that names none."""
        stated_ns = self.scenario.slo.deadline_ns
        return stated_ns if self.scenario.cluster.emulation else max(stated_ns, REAL_DEADLINE_NS)

    @property
    def timeout_ns(self) -> int:
        """Of one call between workers. A path that is long is no loss."""
        share_ns = self.deadline_ns // CALL_SHARE
        if not self.scenario.cluster.emulation:
            return share_ns
        ends_ns = max(one_way_ns(g.link, 0) for g in self.scenario.cluster.nodes.values())
        inner_ns = longest_ns(self.scenario.cluster.network, len(self.plan.nodes))
        return max(share_ns, CALL_ROUND_TRIPS * 2 * (ends_ns + inner_ns))

    def node_of(self, role: str) -> NodePlan:
        """The node that carries the one worker of a role (router, gateway)."""
        return next(n for n in self.plan.nodes if any(w.role == role for w in n.workers))


def _model(scenario: Scenario, folder: Path, *, needs_weights: bool) -> ModelConfig:
    """What is computed; numerics without weights take whatever is described alike in all layers.
    Raises ScenarioError for a shipped description where real numbers are to run.
    """
    if scenario.model.numerics != "real":
        return load_described(folder)
    model, path = load_model(folder), scenario.model.path
    if needs_weights and is_model_name(path):
        problem = (
            f"model.path: {path} is a description by sizes, without weights: name a folder that "
            f"has them; perfuse model {path} says what it asks of machines"
        )
        raise ScenarioError(f"scenario {scenario.name} cannot run", [problem])
    return model
