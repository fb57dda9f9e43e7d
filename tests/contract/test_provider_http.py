"""
The client that both HTTP adapters call through: connections, phases, deadlines, reserves, secrets.

Whether a letter may be sent again hangs on how far its call got, so each phase has its test here.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.clock import SystemClock
from providers.contract.clock import Clock
from providers.contract.errors import ProviderConfigError
from providers.http import network
from providers.http.client import HttpClient, _verifying_context
from providers.http.exchange import MAX_ANSWER_OCTETS, HttpAnswer, HttpRequest, NoAnswer, Phase
from tests.contract.harnesses.rest_v1 import closed_port
from tests.support.certificates import Certificate, make_certificate
from tests.support.manual_clock import ManualClock
from tests.support.scripted_http import HeardRequest, Script, ScriptedHttp, scripted_http

SECRET = "dummy+key/with=="
SMALL = HttpRequest("POST", "/letters", (("Content-Type", "text/plain"),), b"a letter")
LARGE = HttpRequest("POST", "/letters", (), b"x" * (16 << 20))  # more than any socket buffers
QUESTION = HttpRequest("GET", "/balance", query="a=1")
SOON, LATER = 2.0, 60.0  # seconds: for those who get no answer, and for the others

Build = Callable[..., HttpClient]


@pytest.fixture
async def build(clock: SystemClock) -> AsyncIterator[Build]:
    """Build clients for ports on loopback, the first is the main host's; closed at the end."""
    built: list[HttpClient] = []

    def build(*ports: int, scheme: str = "http", clock: Clock = clock) -> HttpClient:
        urls = [f"{scheme}://127.0.0.1:{port}/v1" for port in ports]
        headers = (("Authorization", f"Bearer {SECRET}"),)
        built.append(HttpClient(urls, connections=2, clock=clock, headers=headers, secret=SECRET))
        return built[-1]

    yield build
    for client in built:
        await client.aclose()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("tls"))


async def call(
    client: HttpClient, request: HttpRequest = SMALL, within: float = LATER
) -> HttpAnswer | NoAnswer:
    return await client.call(request, deadline=client._clock.monotonic() + within)


async def answered(client: HttpClient, request: HttpRequest = SMALL) -> HttpAnswer:
    answer = await call(client, request)
    assert isinstance(answer, HttpAnswer)
    return answer


async def phase(client: HttpClient, request: HttpRequest = SMALL, within: float = LATER) -> Phase:
    """How far a call got that brings no answer."""
    result = await call(client, request, within)
    assert isinstance(result, NoAnswer)
    assert result.reason
    return result.phase


def keeps(heard: list[HeardRequest]) -> Script:
    """A script that answers every request on a connection with 200."""

    async def script(http: ScriptedHttp) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                heard.append(await http.request())
                await http.answer()

    return script


class TestAnswers:
    async def test_request_and_answer(self, build: Build):
        """What is sent is what was asked for and nothing else; what came back is all told."""
        heard = []

        async def script(http: ScriptedHttp) -> None:
            heard.append(await http.request())
            await http.answer(201, b'{"id": 1}', "X-Tag: one", "x-tag: two", "Retry-After: 5")
            await http.gone()

        async with scripted_http(script) as port:
            client = build(port)
            answer = await answered(client)
            await client.aclose()
        assert heard == [
            HeardRequest(
                "POST",
                "/v1/letters",
                {
                    "host": f"127.0.0.1:{port}",
                    "accept-encoding": "identity",
                    "authorization": f"Bearer {SECRET}",
                    "content-type": "text/plain",
                    "content-length": "8",
                },
                b"a letter",
            )
        ]
        headers = {"content-length": "9", "x-tag": "one, two", "retry-after": "5"}
        assert answer == HttpAnswer(201, headers, b'{"id": 1}')

    async def test_a_question_has_no_body(self, build: Build):
        """GET goes without Content-Length, its query as it is."""
        heard: list[HeardRequest] = []
        async with scripted_http(keeps(heard)) as port:
            client = build(port)
            await answered(client, QUESTION)
            await client.aclose()
        assert (heard[0].method, heard[0].target) == ("GET", "/v1/balance?a=1")
        assert "content-length" not in heard[0].headers

    async def test_a_large_body_arrives_whole(self, build: Build):
        """What goes out in pieces arrives as one."""
        heard: list[HeardRequest] = []
        async with scripted_http(keeps(heard)) as port:
            client = build(port)
            await answered(client, LARGE)
            await client.aclose()
        assert heard[0].body == LARGE.body

    @pytest.mark.parametrize("most", [MAX_ANSWER_OCTETS, 100_000])
    async def test_an_endless_answer_is_cut(self, build: Build, most: int):
        """No provider fills our memory; how much of an answer is wanted, the request says."""

        async def script(http: ScriptedHttp) -> None:
            await http.request()
            await http.send(b"HTTP/1.1 500 No\r\nTransfer-Encoding: chunked\r\n\r\n")
            with suppress(ConnectionError):
                while True:
                    await http.send(b"10000\r\n" + b"x" * (1 << 16) + b"\r\n")

        async with scripted_http(script) as port:
            answer = await answered(build(port), replace(SMALL, answer_octets=most))
        assert (answer.status, len(answer.body)) == (500, most)

    @pytest.mark.parametrize("ending", ["breaks", "stalls"])
    async def test_half_an_answer(self, build: Build, ending: str):
        """A status proves its point though the rest never comes."""

        async def script(http: ScriptedHttp) -> None:
            await http.request()
            await http.send(b"HTTP/1.1 422 No\r\nContent-Length: 100\r\n\r\nhalf")
            if ending == "stalls":
                await http.gone()

        async with scripted_http(script) as port:
            answer = await call(build(port), within=SOON if ending == "stalls" else LATER)
        assert isinstance(answer, HttpAnswer)
        assert (answer.status, answer.body) == (422, b"half")

    async def test_an_answer_before_the_whole_request(self, build: Build):
        """A server that has read enough may say so and hang up."""

        async def script(http: ScriptedHttp) -> None:
            await http.header()
            await http.answer(413, b"too large", "Connection: close")
            await http.gone()

        async with scripted_http(script) as port:
            answer = await call(build(port), LARGE)
        assert isinstance(answer, HttpAnswer)
        assert answer.status == 413

    async def test_redirects_are_answers(self, build: Build):
        """Letters go where the configuration says and nowhere else (D 25)."""
        heard: list[HeardRequest] = []

        async def script(http: ScriptedHttp) -> None:
            heard.append(await http.request())
            await http.answer(302, b"", "Location: /v1/elsewhere")
            await http.gone()

        async with scripted_http(script) as port:
            client = build(port)
            assert (await answered(client)).status == 302
            await client.aclose()
        assert len(heard) == 1

    async def test_proxies_of_the_environment_are_ignored(
        self, build: Build, monkeypatch: pytest.MonkeyPatch
    ):
        """The environment does not reroute letters."""
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{closed_port()}")
        async with scripted_http(keeps([])) as port:
            client = build(port)
            assert (await answered(client)).status == 200
            await client.aclose()


class TestPhases:
    async def test_nobody_listens(self, build: Build):
        """Never connected."""
        assert await phase(build(closed_port())) is Phase.CONNECT

    async def test_a_name_that_is_none(self, build: Build):
        """What cannot be looked up cannot be connected to; nothing is raised."""
        client = HttpClient([f"http://{'a' * 64}/v1"], connections=1, clock=SystemClock())
        assert await phase(client) is Phase.CONNECT
        await client.aclose()

    async def test_connecting_has_a_limit_of_its_own(
        self, build: Build, monkeypatch: pytest.MonkeyPatch
    ):
        """A host that takes too long leaves time for another."""
        monkeypatch.setattr("providers.http.client._CONNECT_S", 0.1)

        async def script(http: ScriptedHttp) -> None:
            await http.gone()  # and no handshake

        async with scripted_http(script) as port:
            result = await call(build(port, scheme="https"))
        assert result == NoAnswer(Phase.CONNECT, "no connection in time")

    async def test_a_provider_that_stops_reading(
        self, build: Build, monkeypatch: pytest.MonkeyPatch
    ):
        """A stalled connection is given up long before the deadline."""
        monkeypatch.setattr("providers.http.call._WRITE_STALL_S", 0.1)
        enough = asyncio.Event()

        async def script(http: ScriptedHttp) -> None:
            await http.header()
            http.writer.transport.pause_reading()  # type: ignore[attr-defined]
            await enough.wait()

        async with scripted_http(script) as port:
            result = await call(build(port), LARGE)
            enough.set()
        assert result == NoAnswer(Phase.SEND, "the provider stopped reading")

    async def test_an_answer_that_is_no_http(self, build: Build):
        """The request left; what came is no answer."""

        async def script(http: ScriptedHttp) -> None:
            await http.request()
            await http.send(b"220 smtp.example.com ESMTP\r\n")

        async with scripted_http(script) as port:
            assert await phase(build(port)) is Phase.ANSWER

    @pytest.mark.parametrize("request_", [SMALL, QUESTION], ids=["with body", "without"])
    @pytest.mark.parametrize("ending", ["close", "reset", "silence"])
    async def test_no_answer_to_a_whole_request(
        self, build: Build, request_: HttpRequest, ending: str
    ):
        """It may have been acted on, with or without a body."""

        async def script(http: ScriptedHttp) -> None:
            await http.request()
            if ending == "reset":
                http.reset()
            if ending == "silence":
                await http.gone()

        async with scripted_http(script) as port:
            within = SOON if ending == "silence" else LATER
            assert await phase(build(port), request_, within) is Phase.ANSWER

    @pytest.mark.parametrize("ending", ["reset", "silence"])
    async def test_a_request_that_did_not_leave_whole(self, build: Build, ending: str):
        """Nobody can have acted on a part of it."""
        enough = asyncio.Event()

        async def script(http: ScriptedHttp) -> None:
            await http.header()
            if ending == "reset":
                http.reset()
            else:
                http.writer.transport.pause_reading()  # type: ignore[attr-defined]
                await enough.wait()

        async with scripted_http(script) as port:
            within = SOON if ending == "silence" else LATER
            assert await phase(build(port), LARGE, within) is Phase.SEND
            enough.set()

    async def test_the_deadline_has_passed(self, build: Build):
        """Nothing is begun."""
        assert await phase(build(closed_port()), within=-1.0) is Phase.WAIT

    async def test_all_connections_are_busy(self, build: Build):
        """Who waits for a place in vain has not begun."""
        begun, released = asyncio.Semaphore(0), asyncio.Event()

        async def script(http: ScriptedHttp) -> None:
            await http.request()
            begun.release()
            await released.wait()

        async with scripted_http(script) as port:
            client = build(port)
            busy = [asyncio.create_task(call(client)) for _ in range(2)]
            for _ in busy:
                await begun.acquire()
            assert await phase(client, within=SOON) is Phase.WAIT
            released.set()
            await asyncio.gather(*busy)

    async def test_closed_for_good(self, build: Build):
        """After `aclose` nothing connects any more."""
        client = build(closed_port())
        await client.aclose()
        assert await phase(client) is Phase.WAIT


class TestConnections:
    async def test_one_after_the_other_on_one_connection(self, build: Build):
        """A connection that stands is used again."""
        count = 0

        async def script(http: ScriptedHttp) -> None:
            nonlocal count
            count += 1
            await keeps([])(http)

        async with scripted_http(script) as port:
            client = build(port)
            for _ in range(3):
                await answered(client)
            assert count == 1
            await asyncio.gather(*[answered(client) for _ in range(6)])
            assert count == 2  # as many as it may have
            await client.aclose()

    @pytest.mark.parametrize("polite", [True, False], ids=["announced", "unannounced"])
    async def test_a_connection_that_the_provider_closed(self, build: Build, polite: bool):
        """The next call makes a new one, and nothing is in doubt."""
        closed = asyncio.Event()

        async def script(http: ScriptedHttp) -> None:
            await http.request()
            await http.answer(200, b"{}", *(["Connection: close"] if polite else []))
            http.writer.close()
            await http.writer.wait_closed()
            closed.set()

        async with scripted_http(script) as port:
            client = build(port)
            for _ in range(3):
                assert (await answered(client)).status == 200
                await closed.wait()
                closed.clear()

    async def test_an_idle_connection_is_closed(self, build: Build):
        """Not kept beyond the time after which servers hang up."""
        clock = ManualClock()
        ended = asyncio.Event()

        async def script(http: ScriptedHttp) -> None:
            await keeps([])(http)
            ended.set()

        async with scripted_http(script) as port:
            client = build(port, clock=clock)
            await answered(client)
            await clock.someone_sleeps()
            clock.advance(1.0)
            assert not ended.is_set()
            clock.advance(1.0)
            await ended.wait()
            await answered(client)
            await client.aclose()

    async def test_cancelling_closes_the_connection(self, build: Build):
        """What was half done ends there; the next call begins anew."""
        begun, heard = asyncio.Event(), []

        async def script(http: ScriptedHttp) -> None:
            heard.append(await http.request())
            if http.number == 0:
                begun.set()
                await http.gone()
            else:
                await http.answer()

        async with scripted_http(script) as port:
            client = build(port)
            task = asyncio.create_task(call(client))
            await begun.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert (await answered(client, QUESTION)).status == 200
        assert [request.method for request in heard] == ["POST", "GET"]

    async def test_closing_while_a_call_is_under_way(self, build: Build):
        """The call ends in peace, its connection with it."""
        begun, released = asyncio.Event(), asyncio.Event()

        async def script(http: ScriptedHttp) -> None:
            await http.request()
            begun.set()
            await released.wait()
            await http.answer()
            assert await http.gone() == b""

        async with scripted_http(script) as port:
            client = build(port)
            task = asyncio.create_task(answered(client))
            await begun.wait()
            await client.aclose()
            released.set()
            assert (await task).status == 200


class TestAddresses:
    @pytest.mark.parametrize("trouble", ["refused", "silent"])
    async def test_the_next_address_of_a_name(
        self, build: Build, monkeypatch: pytest.MonkeyPatch, trouble: str
    ):
        """One address that does not answer, as IPv6 often enough, leaves time for the others."""
        connect = network._connect
        tried = []

        async def addresses(_host: str, port: int) -> list[tuple[str, int]]:
            return [("first", port), ("127.0.0.1", port)]

        async def connect_(address: tuple[str, int]) -> object:
            tried.append(address[0])
            if address[0] != "first":
                return await connect(address)
            if trouble == "refused":
                raise ConnectionRefusedError
            return await asyncio.get_running_loop().create_future()

        monkeypatch.setattr(network, "_addresses", addresses)
        monkeypatch.setattr(network, "_connect", connect_)
        monkeypatch.setattr("providers.http.client._CONNECT_S", 2.0)
        async with scripted_http(keeps([])) as port:
            client = build(port)
            assert (await answered(client)).status == 200
            await client.aclose()
        assert tried == ["first", "127.0.0.1"]


class TestReserve:
    async def test_used_when_no_connection_can_be_made(self, build: Build):
        """D 8: the main host refuses the connection, the reserve answers."""
        heard: list[HeardRequest] = []
        async with scripted_http(keeps(heard)) as port:
            client = build(closed_port(), port)
            assert (await answered(client)).status == 200
            await client.aclose()
        assert heard[0].headers["host"] == f"127.0.0.1:{port}"

    @pytest.mark.parametrize("trouble", ["500", "429", "no answer", "reset"])
    async def test_never_after_an_answer_or_in_doubt(self, build: Build, trouble: str):
        """D 8: a second host must not get what the first may have."""
        elsewhere: list[HeardRequest] = []

        async def script(http: ScriptedHttp) -> None:
            await http.request()
            if trouble.isdigit():
                await http.answer(int(trouble))
            elif trouble == "reset":
                http.reset()
            else:
                await http.gone()

        async with scripted_http(script) as port, scripted_http(keeps(elsewhere)) as reserve:
            client = build(port, reserve)
            await call(client, within=SOON if trouble == "no answer" else LATER)
            await client.aclose()
        assert elsewhere == []

    async def test_asked_first_for_a_while(self, build: Build):
        """A main host that cannot be reached does not cost every letter its time."""
        clock = ManualClock()
        main: list[HeardRequest] = []
        reserve: list[HeardRequest] = []
        async with scripted_http(keeps(reserve)) as reserve_port:
            port = closed_port()
            client = build(port, reserve_port, clock=clock)
            await answered(client)
            async with scripted_http(keeps(main), port=port):
                clock.advance(29.0)
                await answered(client)
                assert (len(main), len(reserve)) == (0, 2)
                clock.advance(2.0)
                await answered(client)
                assert (len(main), len(reserve)) == (1, 2)
                await client.aclose()

    async def test_the_main_host_when_the_reserve_is_down(self, build: Build):
        """While the reserve is asked first and fails, the main host is tried."""
        port, reserve = closed_port(), closed_port()
        client = build(port, reserve, clock=ManualClock())
        assert await phase(client) is Phase.CONNECT
        async with scripted_http(keeps([]), port=port):
            assert (await answered(client)).status == 200
            await client.aclose()


class TestTls:
    async def test_a_certificate_that_is_trusted(self, build: Build, certificate: Certificate):
        """Letters go encrypted, and connections are kept."""
        heard: list[HeardRequest] = []
        async with scripted_http(keeps(heard), certificate.server_context()) as port:
            client = build(port, scheme="https")
            client._tls = certificate.client_context()
            for _ in range(2):
                assert (await answered(client)).status == 200
            await client.aclose()

    async def test_a_certificate_that_is_not(self, build: Build, certificate: Certificate):
        """Nothing is sent to who cannot prove its name; the operator reads why."""

        async def script(http: ScriptedHttp) -> None:
            assert await http.gone() == b""

        async with scripted_http(script, certificate.server_context()) as port:
            result = await call(build(port, scheme="https"))
        assert isinstance(result, NoAnswer)
        assert result.phase is Phase.CONNECT
        assert "certificate verify failed" in result.reason

    async def test_no_tls_at_all(self, build: Build):
        """A server that speaks something else is one that cannot be reached."""

        async def script(http: ScriptedHttp) -> None:
            await http.reader.read(1)
            await http.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        async with scripted_http(script) as port:
            assert await phase(build(port, scheme="https")) is Phase.CONNECT

    @pytest.mark.parametrize("how", ["deadline", "cancelled"])
    async def test_a_handshake_that_never_ends(self, build: Build, how: str):
        """The socket is closed all the same."""
        begun = asyncio.Event()

        async def script(http: ScriptedHttp) -> None:
            await http.reader.read(1)
            begun.set()
            await http.gone()  # hangs, and fails the test, unless the client closes

        async with scripted_http(script) as port:
            client = build(port, scheme="https")
            if how == "deadline":
                assert await phase(client, within=SOON) is Phase.CONNECT
            else:
                task = asyncio.create_task(call(client))
                await begun.wait()
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task


class TestSecrets:
    @pytest.mark.parametrize(
        "spelling",
        [SECRET, SECRET.replace("/", r"\/"), "dummy%2Bkey%2Fwith%3D%3D", "dummy%2Bkey/with%3D%3D"],
    )
    async def test_an_answer_that_repeats_the_key(self, build: Build, spelling: str):
        """T25: however it is spelt, it does not come back to us."""

        async def script(http: ScriptedHttp) -> None:
            await http.request()
            await http.answer(401, f'{{"error": "no such key: {spelling}!"}}'.encode())

        async with scripted_http(script) as port:
            answer = await answered(build(port))
        assert answer.body == b'{"error": "no such key: ***!"}'

    @pytest.mark.parametrize("key", ["", " key", "key\r\nBcc: x", "ключ", "key\x00"])
    def test_a_key_that_cannot_be_sent(self, key: str):
        """Told when the provider is built, without telling the key."""
        with pytest.raises(ProviderConfigError) as caught:
            HttpClient(
                ["http://127.0.0.1"],
                connections=1,
                clock=SystemClock(),
                headers=(("Authorization", key),),
            )
        assert not key.strip() or key.strip() not in str(caught.value)

    def test_certificate_authorities_that_are_missing(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ):
        """SSL_CERT_FILE that points nowhere is told when the provider is built."""
        _verifying_context.cache_clear()
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "missing.pem"))
        with pytest.raises(ProviderConfigError, match="authorities"):
            HttpClient(["https://127.0.0.1"], connections=1, clock=SystemClock())
