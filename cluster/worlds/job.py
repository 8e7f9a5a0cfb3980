"""What Ray is to know of us: imported once its settings are made, since it imports ray."""

from collections.abc import Iterable

from ray.job_config import JobConfig

from cluster.own_packages import ROOT


class _Fixed(list[str]):
    """Ray adds the working directory and the script's folder to where workers look for modules:
    there anything may lie, under the name of anything that we import.
    """

    def extend(self, more: Iterable[str]) -> None:
        """Not even one."""


def job_of_ours() -> JobConfig:
    """Whose workers find our packages where this process has them."""
    job = JobConfig()
    job._py_driver_sys_path = _Fixed([str(ROOT)])
    return job
