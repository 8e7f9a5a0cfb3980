"""How Ray is to run for a cluster on machines of our own: imports no Ray, which reads its settings
when it is loaded.
"""

# Nothing is reported to anybody, and a device that is hidden stays so.
QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}

# A node's address decides what Ray's processes and agents listen on, and of 127.0.0.1 Ray makes
# the machine's own address, for others to reach it. Where there can be no others it stays what it
# is, and this is Ray's word for that, on Linux too.
ON_LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}

# Every process is one machine of the emulated cluster: its libraries must not take each other's
# cores.
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}

# Ray's own workers are nice (15): beside anything else that computes here they would get a
# thirtieth of a core, and a cluster that stands after 15 s would not after 150. All processes are
# on this machine: one that does not answer for a while is waiting for a core, not gone.
SETTINGS = {"worker_niceness": 0, "health_check_failure_threshold": 100}
# The same as `ray start` takes it.
SETTINGS_VARIABLES = {f"RAY_{name}": str(value) for name, value in SETTINGS.items()}
