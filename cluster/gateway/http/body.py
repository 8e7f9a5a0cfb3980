"""Reading request bodies, bounded in bytes and in time."""

import asyncio
from collections.abc import AsyncGenerator

import orjson
from python_multipart.multipart import parse_options_header
from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request
from starlette.types import Receive

from cluster.gateway.desk import Desk
from cluster.gateway.errors import BodyTimeout, BodyTooLarge, WrongEncoding
from cluster.gateway.fields import Fields
from cluster.gateway.values import check_parts
from workers.errors import Cancelled, InvalidRequest
from workers.host.aside import Aside, at_once

# A form's boundaries and its other fields.
FORM_OVERHEAD_BYTES = 64 * 1024

# Of reading a body and checking what it says, field by field and part by part. ASSUMED, for how it
# queues: measured are 5 to 100 ns a byte, by what is in it.
OPERATIONS_PER_BYTE = 50

# What is read and thrown away after a 413, so that a client that writes first and reads later gets
# to read: closing a socket with unread bytes resets it, and the answer is lost.
_LINGER_FACTOR = 8
_LINGER_S = 2.0


async def read_body(request: Request, max_bytes: int, timeout_s: float) -> bytes:
    """The whole body.

    Raises BodyTooLarge as soon as it is known, by the header or by what has come (chunked bodies
    have no header); WrongEncoding; BodyTimeout; Cancelled if the client goes away.
    """
    encoding = request.headers.get("content-encoding", "").strip()
    if encoding.lower() not in ("", "identity"):
        text = f"content-encoding is {encoding!r:.80}: send the body as it is, without that header"
        raise WrongEncoding(text)
    declared = request.headers.get("content-length")
    # h11 lets only digits pass; Python reads no more than 4,300 of them.
    if declared is not None and (len(declared) > 18 or int(declared) > max_bytes):
        raise _too_large(max_bytes)
    try:
        async with asyncio.timeout(timeout_s):
            return await _read(request.receive, max_bytes)
    except TimeoutError as error:
        raise BodyTimeout(f"the body did not arrive within {timeout_s:g} s") from error


async def read_json(request: Request, max_bytes: int, timeout_s: float) -> object:
    """Raises InvalidRequest on what is not JSON, besides the errors of `read_body`."""
    return json_of(await read_body(request, max_bytes, timeout_s))


def json_of(raw: bytes) -> object:
    """Raises InvalidRequest on what is not JSON, or has too many parts."""
    check_parts(raw)
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise InvalidRequest(f"the request body is not JSON: {error!s:.200}") from error


async def read_fields(request: Request, desk: Desk) -> Fields:
    """The body as a JSON object, read off the event loop where it is large."""
    raw = await read_body(request, desk.settings.max_body_bytes, desk.settings.body_timeout_s)
    return await desk.aside.run(len(raw) * OPERATIONS_PER_BYTE, lambda: Fields(json_of(raw)))


async def read_upload(
    request: Request, max_bytes: int, timeout_s: float, aside: Aside
) -> tuple[str, str, bytes]:
    """(filename, purpose, content) of a multipart form with the fields `file` and `purpose`."""
    check_form(request.headers)
    raw = await read_body(request, max_bytes + FORM_OVERHEAD_BYTES, timeout_s)
    size = len(raw) * OPERATIONS_PER_BYTE
    return await aside.run(size, lambda: at_once(parse_form(request.headers, raw)))


def check_form(headers: Headers) -> None:
    """Raises InvalidRequest where a body is no form, or one that is not read."""
    kind = headers.get("content-type", "")
    if not kind.lower().startswith("multipart/form-data"):
        raise InvalidRequest(
            f"content-type is {kind!r:.80}: files are uploaded as multipart/form-data"
        )
    _check_charset(kind)


async def parse_form(headers: Headers, raw: bytes) -> tuple[str, str, bytes]:
    """What `read_upload` returns. It never waits: all is in memory. Raises InvalidRequest."""

    async def once() -> AsyncGenerator[bytes, None]:
        yield raw

    parser = MultiPartParser(headers, once(), max_files=1, max_fields=8)
    # The body is in memory and bounded already: no temporary files, hence no thread pool.
    parser.spool_max_size = len(raw) + 1
    try:
        form = await parser.parse()
    except (MultiPartException, ValueError) as error:  # ValueError: python-multipart's own
        raise InvalidRequest(f"the form is malformed: {_what_of(error)}") from error
    try:
        return await _fields(dict(form.multi_items()))
    finally:
        await form.close()


def _what_of(error: Exception) -> str:
    """The parser's own words: starlette has the same ones for all of them."""
    cause = str(error.__cause__ or error)
    if "header size exceeded" in cause:
        return "a header of one of its parts is too long: is the file's name? 4,000 bytes are read"
    return f"{cause:.200}"


def _check_charset(kind: str) -> None:
    """The parser decodes names by whatever codec the header names, Python's own toys among them."""
    _, options = parse_options_header(kind)
    charset = options.get(b"charset", b"utf-8").decode("latin-1")
    if charset.lower() not in ("utf-8", "utf8", "us-ascii"):
        raise InvalidRequest(f"the form's charset is {charset!r:.80}: it must be utf-8")


async def linger(receive: Receive, max_bytes: int) -> None:
    """Throw away what a refused client still sends, up to a limit."""
    left = _LINGER_FACTOR * max_bytes
    try:
        async with asyncio.timeout(_LINGER_S):
            while left > 0:
                message = await receive()
                if message["type"] != "http.request" or not message.get("more_body"):
                    return
                left -= len(message["body"])
    except TimeoutError:
        return


async def _read(receive: Receive, max_bytes: int) -> bytes:
    chunks: list[bytes] = []
    num_bytes = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Cancelled("the client went away while it sent its request")
        chunk = message.get("body", b"")
        num_bytes += len(chunk)
        if num_bytes > max_bytes:
            raise _too_large(max_bytes)
        chunks.append(chunk)
        if not message.get("more_body", False):
            return b"".join(chunks)


async def _fields(form: dict[str, UploadFile | str]) -> tuple[str, str, bytes]:
    for key in form:
        if key not in ("file", "purpose"):
            raise InvalidRequest(f"form field {key!r:.80} is not supported: remove it", param=key)
    file, purpose = form.get("file"), form.get("purpose")
    if not isinstance(file, UploadFile):
        raise InvalidRequest("the form has no file in its field 'file'", param="file")
    if not isinstance(purpose, str):
        raise InvalidRequest("the form has no field 'purpose'", param="purpose")
    return file.filename or "upload", purpose, await file.read()


def _too_large(max_bytes: int) -> BodyTooLarge:
    return BodyTooLarge(f"the request body is too large: at most {max_bytes} bytes are read")
