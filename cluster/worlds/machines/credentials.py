"""A cluster's certificates as they are sent to its machines: those that the scenario names, or new
ones that no file keeps.
"""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from configs.certificates import CA, CERTIFICATE, KEY, read_certificates
from configs.new_certificates import make_certificates
from configs.presets import certificates_folder
from configs.schema import ClusterSection, ScenarioError

NOT_THERE = "this cluster cannot stand on these machines:"


def credentials(cluster: ClusterSection, addresses: Sequence[str]) -> Mapping[str, bytes]:
    """File name -> content, for nodes that listen on these addresses; the authority's own key is
    none of them.

    Raises ScenarioError where the scenario's do not fit, ValueError without `openssl`.
    """
    if cluster.certificates is not None:
        return _read(certificates_folder(cluster.certificates), addresses)
    with tempfile.TemporaryDirectory(prefix="perfuse-certs-") as place:
        folder = Path(place) / "certificates"
        make_certificates(folder, addresses)
        return _read(folder, addresses)


def _read(folder: Path, addresses: Sequence[str]) -> Mapping[str, bytes]:
    problems = []
    for address in dict.fromkeys(addresses):
        try:
            found = read_certificates(folder, address)
        except ValueError as error:
            problems.append(
                f"cluster.certificates: {error}: for the machine at {address}; "
                f"`perfuse certs FOLDER --host {address}` makes some for it"
            )
    if problems:
        raise ScenarioError(NOT_THERE, problems)
    return {CA: found.ca, CERTIFICATE: found.certificate, KEY: found.key}
