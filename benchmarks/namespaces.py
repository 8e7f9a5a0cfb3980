"""Whether this machine lets us make networks of our own."""

import os
import shutil
import subprocess

COMMANDS = ("unshare", "nsenter", "ip")


def namespaces_hindrance(script: str, what: str) -> str:
    """What is missing here; "" if nothing. `script` is tried in namespaces that go with the
    attempt; what: what it makes, in words.
    """
    if os.geteuid():
        return "needs root, for network namespaces"
    missing = [name for name in COMMANDS if shutil.which(name) is None]
    if missing:
        return f"needs the commands {', '.join(missing)}"
    tried = subprocess.run(
        ("unshare", "-m", "-n", "sh", "-c", script), capture_output=True, text=True, check=False
    )
    return f"no {what} can be made: {tried.stderr.strip()}" if tried.returncode else ""
