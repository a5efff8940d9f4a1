"""The whole scan, with real servers on real sockets."""

import asyncio
import time
from contextlib import aclosing
from pathlib import Path

import pytest

from tests.discovery.looking import NOWHERE, PATIENT, all_of, by_port, found_at, usual
from tests.integration.worlds import closed_port
from tests.servers.fixtures import ServerFactory
from tests.servers.launch import RunningServer
from whisper_desktop.discovery import LocalLLMDetector
from whisper_desktop.values import Deadlines, Reach, ServerInfo, ServerStatus
from whisper_desktop.wire.http import Http

KEY = "sk-secret-key"
IMPOSTORS = (
    "spa_html_200",
    "airplay_403",
    "express_200",
    "redirect_loop",
    "redirect_to_elsewhere",
    "json_list",
    "empty_401",
    "ollama_imitator",
    "huge_200mb",
    "trickle",
    "trickle_headers",
    "hang_headers",
    "hang_request",
    "hang_accept",
    "non_http",
    "garbage",
    "closes_at_once",
    "resets_at_once",
)


def sent_keys(server: RunningServer) -> list[str]:
    """Everything like a key that a server got."""
    headers = [request["headers"] for request in server.requests()]
    return [
        each[name] for each in headers for name in ("authorization", "x-api-key", "cookie") if name in each
    ]


# --- Who is there -----------------------------------------------------------------------------------------


async def test_every_server_is_recognised_by_what_it_says_at_a_port_where_nobody_expects_it(
    servers: ServerFactory,
) -> None:
    expected = [
        ("lm_studio", ("lm_studio", []), None, Reach.THIS_MACHINE),
        ("lm_studio", ("lm_studio", ["--version", "0.3.10"]), None, Reach.THIS_MACHINE),
        ("lm_studio", ("lm_studio", ["--version", "0.3.4"]), None, Reach.THIS_MACHINE),
        ("ollama", ("ollama", []), "0.33.0", Reach.THIS_MACHINE),
        ("llama_cpp", ("llama_cpp", []), "b1-1652066", Reach.THIS_MACHINE),
        ("llama_cpp", ("llama_cpp", ["--router"]), None, Reach.THIS_MACHINE),
        ("koboldcpp", ("koboldcpp", []), "1.115.2", Reach.THIS_MACHINE),
        ("textgen", ("textgen", []), None, Reach.THIS_MACHINE),
        ("docker_model_runner", ("docker_model_runner", []), None, Reach.THIS_MACHINE),
        ("vllm", ("openai_compatible", ["--flavor", "vllm"]), "0.11.2", Reach.THIS_MACHINE),
        ("sglang", ("openai_compatible", ["--flavor", "sglang"]), None, Reach.THIS_MACHINE),
        # Servers that also pass prompts on, proxies, and servers that nobody can place: the person is asked
        # how far a prompt may go.
        ("localai", ("localai", []), "v4.9.0", None),
        ("localai", ("localai", ["--old"]), "v4.9.0", None),
        ("lemonade", ("lemonade", []), "9.3.3", None),
        ("jan", ("jan", []), None, None),
        ("gpt4all", ("gpt4all", []), None, None),
        ("llama_swap", ("openai_compatible", ["--flavor", "llama_swap"]), None, None),
        ("openai_compatible", ("openai_compatible", ["--flavor", "mlx"]), None, None),
        ("openai_compatible", ("openai_compatible", ["--flavor", "generic"]), None, None),
    ]
    running = servers.many(*(plan for _, plan, _, _ in expected))
    found = await found_at(*running)
    assert [
        (found[server.port].id, found[server.port].version, found[server.port].reach) for server in running
    ] == [(id, version, reach) for id, _, version, reach in expected]
    for server in found.values():
        assert server.status is ServerStatus.AVAILABLE
        assert len(server.models) == 1
        assert server.latency_ms is not None
        assert server.latency_ms > 0
        assert not server.as_given
        assert server.detail.startswith(f"{server.name} is running with 1 model")


async def test_impostors_of_every_kind_are_something_else(servers: ServerFactory) -> None:
    running = servers.many(*(("impostor", ["--mode", mode]) for mode in IMPOSTORS))
    found = await found_at(*running, deadlines=Deadlines(scan_total=6, probe_request=3))
    statuses = {mode: found[server.port].status for mode, server in zip(IMPOSTORS, running, strict=True)}
    assert statuses == dict.fromkeys(IMPOSTORS, ServerStatus.SOMETHING_ELSE)
    assert {server.id for server in found.values()} == {"unknown"}
    assert {server.reach for server in found.values()} == {None}
    assert all(not server.models for server in found.values())
    details = {mode: found[server.port].detail for mode, server in zip(IMPOSTORS, running, strict=True)}
    for mode, manner in (
        ("huge_200mb", "sends far more than a model server would"),
        ("hang_request", "accepts connections but did not answer in time"),
        ("non_http", "does not speak HTTP"),
        ("resets_at_once", "closes the connection without an answer"),
    ):
        assert manner in details[mode]


async def test_an_impostor_at_a_usual_port_is_told_with_who_is_usually_there(servers: ServerFactory) -> None:
    impostor = servers("impostor", "--mode", "express_200")
    detector = LocalLLMDetector(deadlines=PATIENT, env={}, ports={**NOWHERE, "lm_studio": impostor.port})
    (server,) = await detector.detect_available_servers()
    assert server.detail == (
        f"Port {impostor.port}, where LM Studio usually listens, is taken by another program."
    )


async def test_two_servers_that_imitate_ollama_are_not_taken_for_it(servers: ServerFactory) -> None:
    real, imitator, kobold = servers.many(
        ("ollama", []), ("impostor", ["--mode", "ollama_imitator"]), ("koboldcpp", [])
    )
    found = await found_at(real, imitator, kobold)
    assert [found[server.port].id for server in (real, imitator, kobold)] == [
        "ollama",
        "unknown",
        "koboldcpp",
    ]


# --- What they have ---------------------------------------------------------------------------------------


async def test_models_carry_what_the_server_says_about_them(servers: ServerFactory) -> None:
    models = [
        {
            "id": "qwen3.5-4b",
            "context_length": 8192,
            "max_context_length": 262144,
            "size_bytes": 2_700_000_000,
            "capabilities": ["completion", "tools", "vision"],
        },
        {"id": "idle", "loaded": False},
        {"id": "embedder", "embedding": True, "loaded": False},
    ]
    lm_studio = servers("lm_studio", models=models)
    ollama = servers("ollama", models=models)
    found = await found_at(lm_studio, ollama)
    for port, suffix in ((lm_studio.port, ""), (ollama.port, ":latest")):
        loaded, idle, embedder = found[port].models
        assert loaded.id == f"qwen3.5-4b{suffix}"
        assert (loaded.loaded, loaded.context_length, loaded.size_bytes) == (True, 8192, 2_700_000_000)
        assert set(loaded.capabilities) == {"completion", "tools", "vision"}
        assert (idle.loaded, idle.context_length) == (False, None)
        assert not embedder.can_chat
        assert found[port].chat_models == (loaded, idle)


async def test_models_that_run_elsewhere_are_remote_although_the_port_is_local(
    servers: ServerFactory,
) -> None:
    cloud = {"id": "gpt-oss:120b-cloud", "remote_host": "https://ollama.com:443", "loaded": False}
    ollama = servers("ollama", models=["llama3.2", cloud])
    linked = {"id": "big-model", "device": "studio-upstairs"}
    lm_studio = servers("lm_studio", models=["small-model", linked])
    found = await found_at(ollama, lm_studio)
    for server in found.values():
        assert server.reach is Reach.THIS_MACHINE
        assert [model.remote for model in server.models] == [False, True]
        assert "1 of them runs on another computer" in server.detail


@pytest.mark.parametrize(
    ("name", "options", "status"),
    [
        ("ollama", ["--models", "[]"], ServerStatus.NO_MODELS),
        ("lm_studio", ["--models", "[]"], ServerStatus.NO_MODELS),
        ("lm_studio", ["--jit", "off", "--models", '[{"id": "m", "loaded": false}]'], ServerStatus.NO_MODELS),
        ("lm_studio", ["--jit", "on", "--models", '[{"id": "m", "loaded": false}]'], ServerStatus.AVAILABLE),
        ("lm_studio", ["--models", '[{"id": "e", "embedding": true}]'], ServerStatus.NO_MODELS),
        ("textgen", ["--models", "[]"], ServerStatus.NO_MODELS),
        ("jan", ["--models", '[{"id": "m", "loaded": false}]'], ServerStatus.NO_MODELS),
        ("koboldcpp", ["--models", "[]"], ServerStatus.NO_MODELS),
        ("docker_model_runner", ["--models", "[]"], ServerStatus.NO_MODELS),
        ("openai_compatible", ["--models", "[]"], ServerStatus.NO_MODELS),
        ("llama_cpp", ["--fault", "loading:60"], ServerStatus.LOADING),
        ("llama_cpp", ["--auth", KEY], ServerStatus.NEEDS_KEY),
        ("lm_studio", ["--auth", KEY], ServerStatus.NEEDS_KEY),
        ("lm_studio", ["--auth", KEY, "--greeting-needs-key"], ServerStatus.NEEDS_KEY),
        ("koboldcpp", ["--auth", KEY], ServerStatus.NEEDS_KEY),
        ("jan", ["--auth", KEY], ServerStatus.NEEDS_KEY),
        ("openai_compatible", ["--auth", KEY], ServerStatus.NEEDS_KEY),
        ("openai_compatible", ["--flavor", "vllm", "--auth", KEY], ServerStatus.NEEDS_KEY),
        ("textgen", ["--auth", KEY], ServerStatus.NEEDS_KEY),
        ("gpt4all", ["--disabled"], ServerStatus.SOMETHING_ELSE),
    ],
)
async def test_the_status_says_what_is_missing(
    servers: ServerFactory, name: str, options: list[str], status: ServerStatus
) -> None:
    server = servers(name, *options)
    found = (await found_at(server))[server.port]
    assert found.status is status
    assert found.detail
    assert sent_keys(server) == []


async def test_a_server_that_was_recognised_is_kept_when_its_model_list_hangs(servers: ServerFactory) -> None:
    ollama = servers("ollama", "--fault", "hang@/api/tags")
    found = (await found_at(ollama, deadlines=Deadlines(scan_total=3, probe_request=2)))[ollama.port]
    assert (found.id, found.status, found.models) == ("ollama", ServerStatus.AVAILABLE, ())
    assert "did not arrive in time" in found.detail


# --- Where they are ---------------------------------------------------------------------------------------


async def test_a_server_on_ipv6_only_is_found(servers: ServerFactory) -> None:
    server = servers("ollama", host="::1")
    found = (await found_at(server))[server.port]
    assert (found.id, found.url) == ("ollama", f"http://[::1]:{server.port}")
    assert found.api_base == f"http://[::1]:{server.port}/v1"
    assert found.reach is Reach.THIS_MACHINE


async def test_a_server_on_both_loopback_addresses_is_one_server(servers: ServerFactory) -> None:
    server = servers("lm_studio", host="127.0.0.1,::1")
    found = (await found_at(server))[server.port]
    assert found.url == f"http://127.0.0.1:{server.port}"


async def test_two_servers_on_one_port_of_both_addresses_are_two(servers: ServerFactory) -> None:
    one = servers("ollama", models=["a"])
    other = servers("lm_studio", models=["b"], host="::1", port=one.port)
    detector = LocalLLMDetector(deadlines=PATIENT, env={}, ports=usual(one.port))
    found = await detector.detect_available_servers()
    assert {(server.id, server.url) for server in found} == {("ollama", one.url), ("lm_studio", other.url)}


async def test_one_server_by_many_names_is_reported_once_as_it_was_written(servers: ServerFactory) -> None:
    server = servers("ollama", host="127.0.0.1,::1")
    addresses = [f"http://localhost:{server.port}/v1", f"127.0.0.1:{server.port}", f"[::1]:{server.port}"]
    detector = LocalLLMDetector(
        deadlines=PATIENT,
        env={"OLLAMA_HOST": f"0.0.0.0:{server.port}"},
        addresses=addresses,
        ports=usual(server.port),
    )
    (found,) = await detector.detect_available_servers()
    assert (found.id, found.url) == ("ollama", f"http://localhost:{server.port}")
    assert (found.as_given, found.reach) == (True, Reach.THIS_MACHINE)


async def test_ollama_host_is_looked_at(servers: ServerFactory) -> None:
    server = servers("ollama")
    detector = LocalLLMDetector(deadlines=PATIENT, env={"OLLAMA_HOST": f":{server.port}"}, ports=NOWHERE)
    (found,) = await detector.detect_available_servers()
    assert (found.id, found.as_given) == ("ollama", True)


async def test_the_port_that_lm_studio_wrote_down_is_looked_at(
    servers: ServerFactory, tmp_path_factory: pytest.TempPathFactory
) -> None:
    server = servers("lm_studio")
    home = tmp_path_factory.mktemp("home")
    (home / ".lmstudio" / ".internal").mkdir(parents=True)
    written = f'{{"port": {server.port}, "networkInterface": "127.0.0.1"}}'
    (home / ".lmstudio" / ".internal" / "http-server-config.json").write_text(written, "utf-8")
    elsewhere = {**NOWHERE, "lm_studio": closed_port()}
    detector = LocalLLMDetector(deadlines=PATIENT, env={"HOME": str(home)}, ports=elsewhere)
    (found,) = await detector.detect_available_servers()
    assert (found.id, found.as_given, found.reach) == ("lm_studio", False, Reach.THIS_MACHINE)


async def test_an_unknown_server_counts_as_its_address_says_only_if_it_was_given(
    servers: ServerFactory,
) -> None:
    server = servers("openai_compatible")
    given = LocalLLMDetector(deadlines=PATIENT, env={}, addresses=[server.url], ports=NOWHERE)
    (as_given,) = await given.detect_available_servers()
    assert (as_given.reach, as_given.as_given) == (Reach.THIS_MACHINE, True)
    found = (await found_at(server))[server.port]
    assert (found.reach, found.as_given) == (None, False)


async def test_an_address_with_a_path_of_its_own(servers: ServerFactory) -> None:
    openrouter = servers("openrouter")  # Its list is under /api/v1 only, and it has no sign that we know.
    detector = LocalLLMDetector(
        deadlines=PATIENT, env={}, addresses=[f"{openrouter.url}/api/v1"], ports=NOWHERE
    )
    (found,) = await detector.detect_available_servers()
    assert (found.id, found.status) == ("openai_compatible", ServerStatus.AVAILABLE)
    assert found.api_base == f"{openrouter.url}/api/v1"
    assert len(found.models) == 2


# --- What is not there ------------------------------------------------------------------------------------


async def test_what_does_not_run_is_told_only_where_it_was_asked_for() -> None:
    detector = LocalLLMDetector(
        deadlines=PATIENT,
        env={"OLLAMA_HOST": "127.0.0.1:9"},
        addresses=["http://127.0.0.1:11", "not an address"],
        ports={**NOWHERE, "lm_studio": 13},
    )
    found = await detector.detect_available_servers()
    assert {(server.id, server.url, server.status) for server in found} == {
        ("ollama", "http://127.0.0.1:9", ServerStatus.UNREACHABLE),
        ("openai_compatible", "http://127.0.0.1:11", ServerStatus.UNREACHABLE),
        ("openai_compatible", "not an address", ServerStatus.UNREACHABLE),
    }
    assert all(server.as_given and server.detail for server in found)
    more = await detector.detect_available_servers(include_absent=True)
    (absent,) = [server for server in more if server not in found]
    assert (absent.id, absent.url) == ("lm_studio", "http://127.0.0.1:13")
    assert absent.detail == "LM Studio is not running on this computer (port 13)."


async def test_a_server_that_runs_is_not_absent(servers: ServerFactory) -> None:
    server = servers("jan")
    detector = LocalLLMDetector(
        deadlines=PATIENT, env={}, ports={**NOWHERE, "lm_studio": server.port, "jan": 9}
    )
    found = await detector.detect_available_servers(include_absent=True)
    assert [(each.id, each.status) for each in found] == [
        ("jan", ServerStatus.AVAILABLE),
        ("lm_studio", ServerStatus.UNREACHABLE),
    ]


async def test_the_builtin_engine_is_told_first() -> None:
    builtin = ServerInfo("builtin", "Built-in engine", "", ServerStatus.AVAILABLE)
    detector = LocalLLMDetector(deadlines=PATIENT, env={}, builtin=lambda: builtin, ports=NOWHERE)
    assert await all_of(detector) == [builtin]
    nothing = LocalLLMDetector(deadlines=PATIENT, env={}, builtin=lambda: None, ports=NOWHERE)
    assert await all_of(nothing) == []


# --- Keys and the network ---------------------------------------------------------------------------------


async def test_a_key_goes_to_an_address_that_was_given_and_only_when_it_is_wanted(
    servers: ServerFactory,
) -> None:
    wants, open_to_all, found_only = (
        servers("openai_compatible", "--auth", KEY),
        servers("openai_compatible"),
        servers("openai_compatible", "--auth", KEY),
    )
    asked: list[str] = []

    async def key_for(origin: str) -> str | None:
        asked.append(origin)
        return KEY

    detector = LocalLLMDetector(
        deadlines=PATIENT,
        env={},
        addresses=[f"{wants.url}/v1", open_to_all.url],
        key_for=key_for,
        ports=usual(found_only.port),
    )
    found = by_port(await detector.detect_available_servers())
    assert found[wants.port].status is ServerStatus.AVAILABLE
    assert found[wants.port].models
    assert found[found_only.port].status is ServerStatus.NEEDS_KEY
    assert set(asked) == {wants.url}
    assert set(sent_keys(wants)) == {f"Bearer {KEY}"}
    assert sent_keys(open_to_all) == sent_keys(found_only) == []


async def test_a_key_lets_us_ask_and_vouches_for_nothing(servers: ServerFactory) -> None:
    engine = servers("lm_studio", "--auth", KEY)
    proxy = servers("openai_compatible", "--flavor", "llama_swap", "--auth", KEY)
    closed = closed_port()

    async def key_for(origin: str) -> str | None:
        return KEY

    def detector(*given: str) -> LocalLLMDetector:
        keyed = (engine.url, proxy.url, f"http://127.0.0.1:{closed}")
        return LocalLLMDetector(
            deadlines=PATIENT, env={}, addresses=given, keyed=keyed, key_for=key_for, ports=NOWHERE
        )

    found = by_port(await detector().detect_available_servers())
    assert set(sent_keys(proxy)) == {f"Bearer {KEY}"}
    assert [found[each.port].reach for each in (engine, proxy)] == [Reach.THIS_MACHINE, None]
    assert (found[closed].status, found[closed].reach) == (ServerStatus.UNREACHABLE, None)
    assert not any(server.as_given for server in found.values())
    written = by_port(await detector(proxy.url).detect_available_servers())[proxy.port]
    assert (written.as_given, written.reach) == (True, Reach.THIS_MACHINE)


async def test_a_key_does_not_follow_a_redirect(servers: ServerFactory) -> None:
    elsewhere = servers("openai_compatible")
    impostor = servers("impostor", "--mode", "redirect_to_elsewhere", "--elsewhere", elsewhere.url)

    async def key_for(origin: str) -> str | None:
        return KEY

    detector = LocalLLMDetector(
        deadlines=PATIENT, env={}, addresses=[impostor.url], key_for=key_for, ports=NOWHERE
    )
    (found,) = await detector.detect_available_servers()
    assert found.status is ServerStatus.SOMETHING_ELSE
    assert elsewhere.requests() == []


async def openrouter_scan(
    server: RunningServer, key: str | None, *, cloud_allowed: bool = True, deadlines: Deadlines = PATIENT
) -> list[ServerInfo]:
    async def key_of() -> str | None:
        return key

    detector = LocalLLMDetector(
        deadlines=deadlines,
        env={},
        openrouter_key=key_of,
        openrouter_url=server.url,
        cloud_allowed=cloud_allowed,
        ports=NOWHERE,
    )
    return await detector.detect_available_servers()


async def test_openrouter_with_a_key_and_permission(servers: ServerFactory) -> None:
    server = servers("openrouter")
    (found,) = await openrouter_scan(server, "sk-or-v1-test")
    assert (found.id, found.status, found.reach) == ("openrouter", ServerStatus.AVAILABLE, Reach.CLOUD)
    assert found.api_base == f"{server.url}/api/v1"
    assert [model.context_length for model in found.models] == [128000, 4096]
    assert all(model.remote for model in found.models)
    keyed = [request["path"] for request in server.requests() if "authorization" in request["headers"]]
    assert keyed == ["/api/v1/key"]


async def test_openrouter_hears_nothing_without_a_key_or_permission(servers: ServerFactory) -> None:
    server = servers("openrouter")
    assert await openrouter_scan(server, None) == []
    assert await openrouter_scan(server, "sk-or-v1-test", cloud_allowed=False) == []
    assert server.requests() == []


async def test_openrouter_that_refuses_the_key_or_is_slow_or_is_somebody_else(servers: ServerFactory) -> None:
    server = servers("openrouter")
    (refused,) = await openrouter_scan(server, "sk-or-v1-wrong")
    assert refused.status is ServerStatus.NEEDS_KEY
    assert "sk-or-v1-wrong" not in repr(refused)
    server.set_fault("hang", on="/api/v1/models")
    (slow,) = await openrouter_scan(server, "sk-or-v1-test", deadlines=Deadlines(scan_total=3))
    assert (slow.status, slow.models) == (ServerStatus.AVAILABLE, ())
    (other,) = await openrouter_scan(servers("impostor", "--mode", "express_200"), "sk-or-v1-test")
    assert other.status is ServerStatus.SOMETHING_ELSE


async def test_an_address_in_the_cloud_is_not_asked_without_permission() -> None:
    # .invalid never resolves (RFC 2606), so that nothing leaves this computer even if this test fails.
    detector = LocalLLMDetector(
        deadlines=PATIENT, env={}, addresses=["https://llm.invalid/v1"], ports=NOWHERE
    )
    (found,) = await detector.detect_available_servers()
    assert (found.status, found.reach) == (ServerStatus.UNREACHABLE, Reach.CLOUD)
    assert "not allowed" in found.detail


async def test_with_the_network_switched_off_nothing_beyond_this_computer_is_asked() -> None:
    for http in (None, Http(PATIENT, allow_network=False)):
        detector = LocalLLMDetector(
            http=http,
            deadlines=PATIENT,
            env={"WHISPER_ALLOW_NETWORK": "0"},
            addresses=["http://printer.local:1234"],
            ports=NOWHERE,
        )
        (found,) = await detector.detect_available_servers()
        assert found.status is ServerStatus.UNREACHABLE
        assert "the network is switched off" in found.detail
        if http is not None:
            await http.aclose()


# --- Time -------------------------------------------------------------------------------------------------


async def test_ten_hanging_ports_do_not_delay_or_hide_the_real_servers(servers: ServerFactory) -> None:
    """A test of the deadline: the scan's own 1.5 s, and as much again for a busy machine."""
    hanging = servers.many(
        *[("impostor", ["--mode", "hang_accept"])] * 4,
        *[("impostor", ["--mode", "trickle"])] * 3,
        *[("impostor", ["--mode", "hang_headers"])] * 3,
    )
    real = servers.many(("lm_studio", []), ("ollama", []), ("llama_cpp", []))
    impostor = servers("impostor", "--mode", "huge_200mb")
    http = Http()
    await http.warm_up()
    everybody = [*hanging, *real, impostor]
    detector = LocalLLMDetector(http=http, env={}, ports=usual(*(server.port for server in everybody)))
    started = time.monotonic()
    found = by_port(await detector.detect_available_servers())
    elapsed = time.monotonic() - started
    await http.aclose()
    assert elapsed < 3.0
    assert [found[server.port].id for server in real] == ["lm_studio", "ollama", "llama_cpp"]
    assert all(found[server.port].models for server in real)
    strangers = [found[server.port].status for server in (*hanging, impostor)]
    assert strangers == [ServerStatus.SOMETHING_ELSE] * 11


async def test_servers_come_as_they_are_found_not_when_the_slowest_has_answered(
    servers: ServerFactory,
) -> None:
    quick = servers("ollama")
    silent = servers("impostor", "--mode", "hang_accept")
    detector = LocalLLMDetector(deadlines=PATIENT, env={}, ports=usual(silent.port, quick.port))
    async with aclosing(detector.iter_servers()) as found:
        first = await anext(found)
    assert first.id == "ollama"
    # Leaving early has ended the question to the silent one, long before its time was up.
    silent.wait_for("disconnect")


async def test_a_cancelled_scan_closes_its_connections(servers: ServerFactory) -> None:
    silent = servers("impostor", "--mode", "hang_accept", host="127.0.0.1,::1")
    http = Http(PATIENT)
    detector = LocalLLMDetector(http=http, deadlines=PATIENT, env={}, ports=usual(silent.port))
    scan = asyncio.create_task(detector.detect_available_servers())
    await asyncio.to_thread(silent.wait_for, "connection", 2)
    scan.cancel()
    with pytest.raises(asyncio.CancelledError):
        await scan
    await asyncio.to_thread(silent.wait_for, "disconnect", 2)
    await http.aclose()


async def test_scans_at_the_same_time_do_not_disturb_each_other(servers: ServerFactory) -> None:
    server = servers("lm_studio")
    http = Http(PATIENT)
    detector = LocalLLMDetector(http=http, deadlines=PATIENT, env={}, ports=usual(server.port))
    results = await asyncio.gather(*(detector.detect_available_servers() for _ in range(5)))
    await http.aclose()
    assert [[found.id for found in result] for result in results] == [["lm_studio"]] * 5


async def test_a_server_that_is_not_to_be_looked_for_is_not_looked_for_where_it_wrote_down_its_port(
    servers: ServerFactory, tmp_path: Path
) -> None:
    server = servers("lm_studio")
    (tmp_path / ".lmstudio" / ".internal").mkdir(parents=True)
    written = f'{{"port": {server.port}}}'
    (tmp_path / ".lmstudio" / ".internal" / "http-server-config.json").write_text(written, "utf-8")
    detector = LocalLLMDetector(deadlines=PATIENT, env={"HOME": str(tmp_path)}, ports=NOWHERE)
    assert await detector.detect_available_servers() == []
    assert not server.requests()
