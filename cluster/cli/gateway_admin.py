"""How commands ask a gateway for what operators may."""

from typing import Annotated, Any

import typer

# As `perfuse serve` listens where nobody says otherwise.
Url = Annotated[str, typer.Option(help="the gateway's address")]
Key = Annotated[
    str | None,
    typer.Option(
        envvar="PERFUSE_ADMIN_KEY",
        help="the gateway's admin key, if it has one",
        show_default=False,
    ),
]
LOCAL = "http://127.0.0.1:8000"
TIMEOUT_S = 30.0


def ask_admin(method: str, url: str, key: str | None, path: str, **options: Any) -> Any:
    """`path` below /admin. Raises ValueError with what the gateway says, or why it says nothing."""
    import httpx

    headers = {"authorization": f"Bearer {key}"} if key else {}
    address = f"{url.rstrip('/').removesuffix('/v1')}/admin{path}"
    try:
        answer = httpx.request(method, address, headers=headers, timeout=TIMEOUT_S, **options)
        body = answer.json()
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        raise ValueError(f"--url {url}: did not answer as a gateway does: {error}") from error
    if answer.is_error:
        told = body.get("error", {}) if isinstance(body, dict) else {}
        raise ValueError(str(told.get("message", f"{address} answered {answer.status_code}")))
    return body
