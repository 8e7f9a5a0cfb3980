"""Why a peer could not be reached over TLS, found out by knocking once more.

gRPC tells who dials little, and sends nobody an alert whose certificate it refuses: it closes. So
who has failed to connect tries Python's own TLS, which says what it did not believe; where that
goes well, and the other end then closes before it says anything, it is this node's certificate that
was not believed.
"""

import asyncio
import ssl

from configs.certificates import Certificates, refusal
from workers.wire.transport.limits import CONNECT_TIMEOUT_S

_PROTOCOL = "h2"  # what gRPC speaks within TLS; its server begins by itself
_CLIENT = ssl.PROTOCOL_TLS_CLIENT


async def explain(address: str, certificates: Certificates | None) -> str:
    """What is wrong between this node and who listens at "host:port"; "" where that is no matter
    of certificates.
    """
    host, _, port = address.rpartition(":")
    if not port.isdecimal():
        return ""  # a unix socket has no TLS
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            return await _knock(host, int(port), certificates)
    except (OSError, ValueError):  # nobody listens, or no answer: gRPC's own words say so
        return ""


async def _knock(host: str, port: int, certificates: Certificates | None) -> str:
    try:
        context = _blind() if certificates is None else certificates.context(_CLIENT)
        context.set_alpn_protocols([_PROTOCOL])
        reader, writer = await asyncio.open_connection(
            host, port, ssl=context, server_hostname=host
        )
    except ssl.SSLCertVerificationError as error:
        return f"its certificate is refused here: {refusal(error)}"
    except ssl.SSLError as error:
        return "" if certificates is None else f"it speaks no TLS ({error.reason})"
    try:
        heard = await reader.read(1)
    except OSError:  # a reset is a way to send somebody away
        heard = b""
    finally:
        writer.close()
    if heard:
        return ""
    if certificates is None:
        return "it asks for a certificate of its cluster, and this node has none"
    return (
        f"it refuses the certificate of {certificates.folder}, which ends on {certificates.until}: "
        "it has another cluster's authority, or another date"
    )


def _blind() -> ssl.SSLContext:
    """To learn whether somebody speaks TLS at all; nothing is told."""
    context = ssl.SSLContext(_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
