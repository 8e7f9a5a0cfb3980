"""`stream_options`: which chunks of a stream carry usage."""

from cluster.gateway.fields import Fields
from workers.errors import InvalidRequest


def stream_options(fields: Fields, stream: bool) -> tuple[bool, bool]:
    """(a last chunk carries it, every chunk does)"""
    options = fields.take("stream_options")
    if options is None:
        return False, False
    if not stream:
        raise InvalidRequest(
            "stream_options without stream: set stream to true", param="stream_options"
        )
    inner = Fields(options, "stream_options")
    include = inner.boolean("include_usage")
    each = inner.boolean("continuous_usage_stats")
    # Obfuscation pads chunks against traffic analysis; we have none to switch off.
    inner.refuse_rest(frozenset(), {"include_obfuscation": (False,)})
    return include, include and each
