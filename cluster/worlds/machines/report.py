"""Whether machines are alike enough to be one cluster: pure."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from configs.schema import ClusterSection
from configs.schema.wires import Wire


@dataclass(frozen=True, slots=True)
class MachineReport:
    """What a machine of a Ray cluster says of itself (`probe`).

    source   digest of the Perfuse that is installed there; "" without one
    isa      instruction set of its kernels; why: what is wrong with them
    lacks    modules that are not installed there
    prefix   of the Python that runs there
    """

    node_id: str
    host: str
    address: str
    source: str
    isa: str
    why: str
    ucx: bool
    lacks: tuple[str, ...]
    prefix: str

    @property
    def name(self) -> str:
        """As people know it."""
        return f"{self.host} ({self.address})"


def report_problems(
    cluster: ClusterSection, source: str, reports: Sequence[MachineReport]
) -> list[str]:
    """Why these machines are no cluster, each by name and with what would be right."""
    problems = [
        f"{report.name}: lacks {', '.join(report.lacks)}: pip install perfuse into {report.prefix}"
        for report in reports
        if report.lacks
    ]
    problems += [
        f"{report.name}: has another Perfuse than this command, or none: install the same on all "
        f"machines (into {report.prefix} there)"
        for report in reports
        if not report.lacks and report.source != source
    ]
    return problems or [*_kernel_problems(reports), *_wire_problems(cluster, reports)]


def _kernel_problems(reports: Sequence[MachineReport]) -> list[str]:
    broken = [
        f"{report.name}: its native kernels are {report.why}: run `python -m kernels.native.build` "
        "there, or set PERFUSE_ISA=reference in the environment of every machine's `ray start`"
        for report in reports
        if not report.isa or (report.why and report.isa == "reference")
    ]
    isas = Counter(report.isa for report in reports)
    if broken and (len(isas) > 1 or "" in isas):
        return broken
    if len(isas) > 1:
        by_isa = "; ".join(
            f"{isa} on {', '.join(r.name for r in reports if r.isa == isa)}" for isa in isas
        )
        return [
            f"machines compute with different instruction sets, and so not the same to the last "
            f"bit: {by_isa}: set PERFUSE_ISA to one that all have, in the environment of every "
            "machine's `ray start`"
        ]
    return []


def _wire_problems(cluster: ClusterSection, reports: Sequence[MachineReport]) -> list[str]:
    """Wires that are asked for by name, and cannot be had there."""
    problems = []
    for name in cluster.nodes:
        key = f"cluster.nodes.{name}.transport"
        key = key if cluster.nodes[name].transport else "cluster.transport"
        choice = cluster.choice_of(name)
        without = [report.name for report in reports if not report.ucx]
        if choice == "ucx" and without:
            problems.append(
                f"{key}: is 'ucx', which is not installed on {', '.join(without)}: pip install "
                "'perfuse[ucx]' there, or use 'grpc' or 'auto'"
            )
        if choice == "shm" and len(reports) > 1:
            problems.append(
                f"{key}: is 'shm', which reaches no other machine, and there are {len(reports)}: "
                "use 'auto', which takes it where two nodes share one"
            )
    return list(dict.fromkeys(problems))


def far_wire(reports: Sequence[MachineReport], *, has_certificates: bool) -> Wire:
    """Between machines, where the scenario leaves it open: UCX where all have it; gRPC alone shows
    certificates, which somebody who names some wants shown.
    """
    return "ucx" if all(r.ucx for r in reports) and not has_certificates else "grpc"
