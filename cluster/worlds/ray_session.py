"""A Ray session of our own: on loopback, small, quiet, and gone with its folder.

Ray reads its settings when it is loaded, so they are made here first; import `ray` from here and
from nowhere else in this folder.
"""

import logging
import os
import secrets
import signal
import threading
from pathlib import Path

# Nobody else on this machine may talk to the session, and nothing is reported to anybody.
os.environ.setdefault("RAY_AUTH_MODE", "token")
os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")

import ray

__all__ = ["ray", "start_ray"]

# What a Ray session may take for objects; only questions and answers of the driver pass through it.
OBJECT_STORE_BYTES = 80 << 20


def start_ray(folder: Path) -> None:
    """Start Ray's processes; their files go to `folder`, which the caller removes after
    `ray.shutdown`. SIGTERM stays the caller's: Ray's own handler ends the process where it stands.
    """
    # Every process is one machine of the emulated cluster: its libraries must not take each other's
    # cores.
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"
    handler = signal.getsignal(signal.SIGTERM)
    ray.init(
        address="local",
        _node_ip_address="127.0.0.1",
        _temp_dir=str(folder),
        num_cpus=os.cpu_count(),  # it also bounds how many processes start at once
        include_dashboard=False,
        object_store_memory=OBJECT_STORE_BYTES,
        logging_level=logging.ERROR,
        log_to_driver=True,
        configure_logging=False,
    )
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, handler)
