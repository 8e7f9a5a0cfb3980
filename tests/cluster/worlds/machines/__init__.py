"""Tests of many machines. Ray reads its settings when it is first loaded, and some of these load
it: those of the local world, which may run in the same process, must be made before.
"""

import cluster.worlds.ray_session  # noqa: F401
