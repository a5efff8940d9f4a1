"""Signing in at OpenRouter through a browser, against a server that speaks its protocol."""

import asyncio
import logging
import socket
import urllib.error
import urllib.request
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.integration.worlds import closed_port
from tests.servers.fixtures import ServerFactory
from tests.servers.launch import RunningServer
from whisper_desktop.app import App
from whisper_desktop.app.oauth import BrowserWanted, KeyKept, SignIn, sign_in, signing_in
from whisper_desktop.errors import SecretsError
from whisper_desktop.values import Deadlines
from whisper_desktop.wire.http import Http

KEY = "sk-or-v1-0123456789abcdef0123456789abcdef"


@pytest.fixture
async def http() -> AsyncIterator[Http]:
    http = Http(Deadlines())
    yield http
    await http.aclose()


@asynccontextmanager
async def begun(http: Http, server: RunningServer, patience: float = 20.0) -> AsyncGenerator[SignIn, None]:
    async with signing_in(http, server.url, patience=patience) as ours:
        yield ours


def visit(address: str, **headers: str) -> tuple[int, str]:
    """What a browser gets at an address, redirects followed."""
    try:
        with urllib.request.urlopen(urllib.request.Request(address, headers=headers)) as reply:
            return reply.status, reply.read().decode()
    except urllib.error.HTTPError as refusal:
        with refusal:
            return refusal.code, refusal.read().decode()


def callback(ours: SignIn) -> str:
    """Where the browser is to come back to."""
    return parse_qs(urlsplit(ours.address).query)["callback_url"][0]


async def test_signing_in_ends_in_a_key(servers: ServerFactory, http: Http) -> None:
    server = servers("openrouter", "--issued-key", KEY)
    async with begun(http, server) as ours:
        status, page = await asyncio.to_thread(visit, ours.address)
        assert (status, "You can close this page." in page) == (200, True)
        assert (await ours.key()).reveal() == KEY


async def test_nothing_secret_is_in_an_address_or_in_the_log(
    servers: ServerFactory, http: Http, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server = servers("openrouter", "--issued-key", KEY)
    async with begun(http, server) as ours:
        await asyncio.to_thread(visit, ours.address)
        key = await ours.key()
    verifier = server.requests("/api/v1/auth/keys")[0]["body"]["code_verifier"]
    assert 43 <= len(verifier) <= 128
    said = f"{ours.address} {ours!r} {key!r} {caplog.text}"
    assert verifier not in said
    assert KEY not in said
    asked = parse_qs(urlsplit(ours.address).query)
    assert asked["code_challenge_method"] == ["S256"]


async def test_who_refuses_in_the_browser_is_believed(servers: ServerFactory, http: Http) -> None:
    server = servers("openrouter", "--sign-in", "deny")
    async with begun(http, server) as ours:
        _, page = await asyncio.to_thread(visit, ours.address)
        assert "Nothing was allowed." in page
        with pytest.raises(SecretsError, match="not allowed"):
            await ours.key()
    assert server.requests("/api/v1/auth/keys") == []


@pytest.mark.parametrize("wrong", ["path", "no path", "host", "method"])
async def test_a_visit_that_is_not_ours_neither_ends_nor_feeds_the_sign_in(
    servers: ServerFactory, http: Http, wrong: str
) -> None:
    server = servers("openrouter", "--issued-key", KEY)
    async with begun(http, server) as ours:
        back = callback(ours)
        target = {"path": f"{back}x", "no path": back.rpartition("/")[0]}.get(wrong, back)
        headers = {"host": {"Host": "evil.example"}}.get(wrong, {})
        if wrong == "method":
            port = urlsplit(back).port
            assert port is not None
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(f"POST {urlsplit(back).path}?code=stolen HTTP/1.1\r\n\r\n".encode())
            assert b"404" in await reader.readline()
            writer.close()
            await writer.wait_closed()
        else:
            status, _ = await asyncio.to_thread(visit, f"{target}?code=stolen", **headers)
            assert status == 404
        await asyncio.to_thread(visit, ours.address)
        assert (await ours.key()).reveal() == KEY


async def test_garbage_and_silence_at_the_port_do_not_disturb(
    servers: ServerFactory, http: Http, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    server = servers("openrouter", "--issued-key", KEY)
    async with begun(http, server) as ours:
        port = urlsplit(callback(ours)).port
        assert port is not None
        _silent, silent = await asyncio.open_connection("127.0.0.1", port)
        _reader, garbage = await asyncio.open_connection("127.0.0.1", port)
        garbage.write(b"\x00" * 20_000)
        reader, no_address = await asyncio.open_connection("127.0.0.1", port)
        no_address.write(b"GET //[ HTTP/1.1\r\n\r\n")
        assert await reader.read() == b""
        await asyncio.to_thread(visit, ours.address)
        assert (await ours.key()).reveal() == KEY
        for writer in (silent, garbage, no_address):
            writer.close()
    assert not caplog.records  # nothing of it is a mistake of ours


async def test_a_second_visit_changes_nothing(servers: ServerFactory, http: Http) -> None:
    server = servers("openrouter", "--issued-key", KEY)
    async with begun(http, server) as ours:
        await asyncio.to_thread(visit, ours.address)
        status, _ = await asyncio.to_thread(visit, f"{callback(ours)}?code=another")
        assert status == 404
        assert (await ours.key()).reveal() == KEY


async def test_a_code_that_was_used_already_is_refused_in_words(servers: ServerFactory, http: Http) -> None:
    server = servers("openrouter")
    async with begun(http, server) as ours:
        await asyncio.to_thread(visit, ours.address)
        await ours.key()
        with pytest.raises(SecretsError, match="did not accept the sign-in"):
            await ours.key()


async def test_a_code_that_is_too_old_is_refused_in_words(servers: ServerFactory, http: Http) -> None:
    server = servers("openrouter", "--code-lifetime", "0")
    async with begun(http, server) as ours:
        await asyncio.to_thread(visit, ours.address)
        with pytest.raises(SecretsError, match="had taken too long"):
            await ours.key()


async def test_an_answer_without_a_key_is_told(servers: ServerFactory, http: Http) -> None:
    server = servers("openrouter", "--fault", "html_200@/api/v1/auth/keys")
    async with begun(http, server) as ours:
        await asyncio.to_thread(visit, ours.address)
        with pytest.raises(SecretsError, match="gave no key"):
            await ours.key()


async def test_nobody_waits_for_ever(servers: ServerFactory, http: Http) -> None:
    server = servers("openrouter", "--sign-in", "wait")
    async with begun(http, server, patience=0.05) as ours:
        with pytest.raises(SecretsError, match="Nobody signed in"):
            await ours.key()


async def test_the_port_is_closed_when_the_sign_in_has_ended(servers: ServerFactory, http: Http) -> None:
    server = servers("openrouter")
    async with begun(http, server) as ours:
        port = urlsplit(callback(ours)).port
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port or 0)) != 0


async def test_a_port_that_is_taken_is_told_in_words(http: Http) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(SecretsError, match="Enter a key instead"):
            async with signing_in(http, "http://127.0.0.1:1", port=other.getsockname()[1]):
                pass


async def test_the_app_keeps_the_key_and_says_where(
    servers: ServerFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.fail.Keyring")
    server = servers("openrouter", "--issued-key", KEY)
    overrides: dict[str, object] = {
        "llm.openrouter.base_url": server.url,
        "llm.lmstudio.port": closed_port(),
        "llm.llamacpp.port": closed_port(),
    }
    app = App(overrides=overrides)
    await app.start()
    try:
        steps: list[BrowserWanted | KeyKept] = []
        async with aclosing(sign_in(app)) as going:
            async for step in going:
                steps.append(step)
                if isinstance(step, BrowserWanted):
                    await asyncio.to_thread(visit, step.address)
        assert isinstance(steps[-1], KeyKept)
        assert "for this run only" in steps[-1].explanation
        assert await app.keys() == (server.url,)
    finally:
        await app.stop()
