"""The allocator that vLLM's CPU guide asks for, from the system or from Debian's package.

Nothing is installed on the system: the package is unpacked below build/peers/.
"""

import glob
import shutil
import subprocess
import tempfile
from pathlib import Path

from benchmarks.peers.paths import BUILD

PACKAGE = "libtcmalloc-minimal4"
FOLDER = BUILD / "tcmalloc"
FILE = "libtcmalloc_minimal.so.4"


def tcmalloc() -> Path | None:
    """The library: ours if fetched, else the system's; None where there is none."""
    found = sorted([*FOLDER.rglob(FILE), *map(Path, glob.glob(f"/usr/lib/*/{FILE}"))])
    return found[0] if found else None


def fetch_tcmalloc() -> str:
    """Fetch it unless it is there; says what was done, or why vLLM does without."""
    if tcmalloc() is not None:
        return "there already"
    if not shutil.which("apt-get") or not shutil.which("dpkg"):
        return f"not had: install {FILE} yourself; without it vLLM decodes some 10 % slower"
    with tempfile.TemporaryDirectory() as folder:
        fetched = subprocess.run(
            ["apt-get", "download", "-q", PACKAGE],
            cwd=folder,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        packages = sorted(Path(folder).glob("*.deb"))
        if fetched.returncode or not packages:
            return f"not had, vLLM decodes some 10 % slower: {fetched.stdout.strip()[-300:]}"
        subprocess.run(["dpkg", "-x", packages[0], FOLDER], check=True)
    return f"unpacked to {FOLDER}"
