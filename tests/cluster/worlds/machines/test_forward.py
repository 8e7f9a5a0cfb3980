"""What is passed on, and what is not; streams are in test_forward_streams.py."""

import asyncio
import json
import pickle

import httpx
import pytest

from cluster.worlds.machines.forward import Forward
from tests.cluster.worlds.machines.served import Gateway, forwarding, head, piece, serving

pytestmark = pytest.mark.live


def asked(gateway: Gateway, method: str, path: str, **options) -> httpx.Response:
    async def main() -> httpx.Response:
        async with forwarding(gateway) as client:
            return await client.request(method, path, **options)

    return asyncio.run(main())


def test_method_path_query_body_status_and_headers_are_passed_on():
    gateway = Gateway(
        status=418, headers=((b"X-Request-Id", b"7"), (b"x-two", b"a"), (b"x-two", b"b"))
    )
    answer = asked(
        gateway, "POST", "/v1/files/a%2Fb?x=1&x=%202", content=b"{}", headers={"authorization": "k"}
    )
    assert (answer.status_code, answer.content) == (418, b"{}")
    assert answer.headers["x-request-id"] == "7"
    assert answer.headers.get_list("x-two") == ["a", "b"]
    scope = gateway.asked[0]
    assert (scope["method"], scope["raw_path"]) == ("POST", b"/v1/files/a%2Fb")
    assert scope["query_string"] == b"x=1&x=%202"
    assert dict(scope["headers"])[b"authorization"] == b"k"
    assert dict(scope["headers"])[b"content-length"] == b"2"


def test_nothing_is_said_that_the_client_did_not_say():
    """httpx has headers of its own, and a request without a body is not given one."""
    gateway = Gateway()
    asked(gateway, "GET", "/health", headers={"user-agent": "mine", "accept-encoding": "br"})
    headers = dict(gateway.asked[0]["headers"])
    assert headers.keys() == {b"host", b"user-agent", b"accept-encoding", b"accept"}
    assert (headers[b"user-agent"], headers[b"accept-encoding"]) == (b"mine", b"br")


def test_what_belongs_to_one_connection_stays_there():
    gateway = Gateway(
        headers=((b"keep-alive", b"timeout=9"), (b"connection", b"x-hop"), (b"x-hop", b"1"))
    )
    answer = asked(
        gateway,
        "GET",
        "/",
        headers={"connection": "X-Mine, close", "x-mine": "1", "te": "trailers"},
    )
    assert not {b"x-mine", b"te", b"connection"} & dict(gateway.asked[0]["headers"]).keys()
    assert "x-hop" not in answer.headers
    assert "keep-alive" not in answer.headers


def test_the_time_is_told_once():
    """By the server before us; the gateway has told it, too."""
    assert len(asked(Gateway(), "GET", "/").headers.get_list("date")) == 1


def test_the_gateway_is_asked_by_its_own_name():
    gateway = Gateway()
    answer = asked(gateway, "GET", "/", headers={"host": "localhost"})
    assert answer.status_code == 200
    assert dict(gateway.asked[0]["headers"])[b"host"].startswith(b"127.0.0.1:")


def test_packed_answers_stay_packed():
    """What is unpacked here would no longer fit its headers."""
    packed = bytes.fromhex("1f8b08000000000002ff4b040043beb7e801000000")  # gzip of "a"
    gateway = Gateway(lambda scope, body: packed, headers=((b"content-encoding", b"gzip"),))

    async def main() -> bytes:
        async with forwarding(gateway) as client, client.stream("GET", "/") as answer:
            return b"".join([part async for part in answer.aiter_raw()])

    assert asyncio.run(main()) == packed


@pytest.mark.parametrize(
    "path",
    ["/admin", "/admin/faults", "/%61dmin/faults", "//admin/faults", "/v1/%2e%2e/admin/faults"],
)
def test_no_way_leads_to_admin(path):
    """A gateway on this machine would take us for its operator."""
    gateway = Gateway()

    async def main() -> int:
        async with forwarding(gateway) as client:
            # Written by hand: clients tidy a path before they send it.
            host, port = client.base_url.host, client.base_url.port
            reader, writer = await asyncio.open_connection(host, port)
            writer.write(f"GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".encode())
            line = await reader.readline()
            writer.close()
            return int(line.split()[1])

    assert asyncio.run(main()) == 404
    assert gateway.asked == []


@pytest.mark.parametrize("target", ["http://other.example/", "//other.example/x", "*"])
def test_no_target_leads_elsewhere(target):
    """Whatever stands in the request line, the gateway is asked or nobody is."""
    gateway = Gateway(lambda scope, body: b"gateway")

    async def main() -> bytes:
        async with forwarding(gateway) as client:
            reader, writer = await asyncio.open_connection(
                client.base_url.host, client.base_url.port
            )
            writer.write(f"GET {target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".encode())
            answer = await reader.read()
            writer.close()
            return answer

    answer = asyncio.run(main())
    assert b"gateway" in answer or b" 400 " in answer.splitlines()[0]
    assert len(gateway.asked) == (b"gateway" in answer)


def test_a_gateway_that_moved_is_found_again():
    gateway = Gateway(lambda scope, body: b"here")

    async def main() -> list[bytes]:
        async with serving(gateway) as url:
            urls = iter(["http://127.0.0.1:9", url])  # nobody listens at port 9, discard

            async def find() -> str:
                return next(urls)

            async with (
                serving(Forward(find), lifespan="on") as before,
                httpx.AsyncClient(base_url=before, trust_env=False) as client,
            ):
                answers = await asyncio.gather(*(client.post("/", content=b"x") for _ in range(3)))
                return [answer.content for answer in answers]

    assert asyncio.run(main()) == [b"here"] * 3


def refusal(find) -> tuple[int, str]:
    async def main() -> tuple[int, str]:
        async with serving(Forward(find)) as before, httpx.AsyncClient(trust_env=False) as client:
            answer = await client.get(before)
            return answer.status_code, json.loads(answer.content)["error"]["code"]

    return asyncio.run(main())


def test_without_a_gateway_the_error_is_one_that_clients_know():
    async def nowhere() -> str:
        return "http://127.0.0.1:9"

    async def none() -> str:
        raise RuntimeError("no room on this Ray cluster")

    assert refusal(nowhere) == (502, "bad_gateway")
    assert refusal(none) == (503, "unavailable")


def test_a_server_does_not_start_without_a_gateway():
    """Serve then says that the deployment failed, instead of sending users to it."""
    said = []

    async def none() -> str:
        raise RuntimeError("no room on this Ray cluster")

    async def receive():
        return {"type": "lifespan.startup"}

    async def send(message):
        said.append(message)

    asyncio.run(Forward(none)({"type": "lifespan"}, receive, send))
    assert said == [
        {"type": "lifespan.startup.failed", "message": "no gateway: no room on this Ray cluster"}
    ]


def test_an_answer_that_breaks_off_is_not_made_whole():
    async def broken(scope, receive, send):
        await head(send, headers=((b"content-length", b"10"),))
        await piece(send, b"12345")
        raise OSError("the machine is gone")

    async def main() -> None:
        async with forwarding(broken) as client:
            await client.get("/")

    with pytest.raises(httpx.RemoteProtocolError):
        asyncio.run(main())


async def found() -> str:
    return "http://127.0.0.1:9"


def test_it_travels_to_a_replica():
    """Serve sends the application to where it runs as bytes."""
    assert isinstance(pickle.loads(pickle.dumps(Forward(found))), Forward)
