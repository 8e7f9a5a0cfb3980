"""Ids of responses and of what is in them: they stand in paths, whatever a client's own id is."""

import hashlib


def id_of(kind: str, *parts: object) -> str:
    """The same for the same parts, which are unique."""
    seed = "/".join(map(str, parts)).encode()
    return f"{kind}_{hashlib.blake2b(seed, digest_size=24).hexdigest()}"
