"""What every engine must do, whichever program serves: the built-in engine and the reference llama-server."""

import asyncio
import resource
import socket
import sys
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from tests.engines.conftest import MakeEngine, gone, until
from tests.engines.streaming import ForeignStream
from tests.engines.tiny_model import write_tiny_model
from whisper_desktop.engines.launch import free_port
from whisper_desktop.engines.readiness import authorization
from whisper_desktop.engines.spec import EngineSpec, Expected
from whisper_desktop.errors import EngineError
from whisper_desktop.settings.paths import log_dir, run_dir
from whisper_desktop.values import Deadlines, EngineState, EngineStatus, Reach
from whisper_desktop.wire.http import Http


async def test_a_ready_engine_answers_only_who_has_its_key(
    spec: EngineSpec, start: MakeEngine, http: Http
) -> None:
    seen: list[EngineStatus] = []
    engine = start(spec, seen=seen)
    address = await engine.ensure_ready()
    url = f"{address.url}/v1/chat/completions"
    body = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 3, "ignore_eos": True}
    reply = await http.request(
        "POST", url, allowed=Reach.THIS_MACHINE, json=body, headers=authorization(address)
    )
    refused = await http.request("POST", url, allowed=Reach.THIS_MACHINE, json=body)
    answer = reply.json()
    assert isinstance(answer, dict)
    assert answer["usage"]["completion_tokens"] == 3
    assert answer["model"] == "tiny"
    assert refused.status == 401
    assert [status.state for status in seen] == [EngineState.STARTING, EngineState.READY]


async def test_status_tells_address_process_and_memory(spec: EngineSpec, start: MakeEngine) -> None:
    engine = start(spec)
    assert engine.status().state is EngineState.STOPPED
    address = await engine.ensure_ready()
    status = engine.status()
    assert (status.state, status.url, status.engine) == (EngineState.READY, address.url, spec.id)
    assert status.pid is not None
    assert not gone(status.pid)
    assert await until(lambda: engine.status().memory_bytes is not None, 5)
    assert 5_000_000 < (engine.status().memory_bytes or 0) < 500_000_000
    await engine.stop()
    status = engine.status()
    assert (status.state, status.url, status.pid, status.memory_bytes) == (
        EngineState.STOPPED,
        None,
        None,
        None,
    )


async def test_ready_means_that_a_token_has_been_written(spec: EngineSpec, start: MakeEngine) -> None:
    engine = start(spec)
    await engine.ensure_ready()
    assert await until(lambda: any("eval time" in line for line in engine.log_tail(50)), 5)


async def test_an_engine_that_runs_otherwise_than_planned_says_so(
    spec: EngineSpec, start: MakeEngine
) -> None:
    """There is no graphics card in the tests, and the plan is told that there is one."""
    planned = start(replace(spec, expected=Expected(gpu_layers=0)))
    await planned.ensure_ready()
    assert planned.status().warning == ""
    engine = start(replace(spec, expected=Expected(gpu_layers=2, layers=2), engine_id="other"))
    await engine.ensure_ready()
    warning = engine.status().warning
    assert "processor" in warning
    assert any(warning in line for line in engine.log_tail(1000))
    assert engine.outcome is not None
    assert engine.outcome.gpu_layers == 0


async def test_how_fast_it_writes_is_known_once_somebody_has_read(
    spec: EngineSpec, start: MakeEngine
) -> None:
    engine = start(spec, deadlines=replace(Deadlines(), engine_watch=0.05))
    async with engine.lease() as address:
        stream = ForeignStream(address)
        assert await asyncio.to_thread(stream.first.wait, 10)
        await asyncio.sleep(0.1)
        stream.close()
    assert await until(lambda: (engine.status().tokens_per_second or 0) > 1, 5)


async def test_the_metrics_and_the_context_asked_for_are_there(
    spec: EngineSpec, start: MakeEngine, http: Http
) -> None:
    address = await start(replace(spec, n_ctx=1024)).ensure_ready()
    headers = authorization(address)
    metrics = await http.request("GET", f"{address.url}/metrics", allowed=Reach.THIS_MACHINE, headers=headers)
    props = await http.request("GET", f"{address.url}/props", allowed=Reach.THIS_MACHINE, headers=headers)
    facts = props.json()
    assert metrics.status == 200
    assert isinstance(facts, dict)
    assert facts["default_generation_settings"]["n_ctx"] == 1024
    assert facts["total_slots"] == 1


async def test_stopping_takes_under_three_seconds_while_another_program_streams(
    spec: EngineSpec, start: MakeEngine
) -> None:
    engine = start(spec)
    stream = ForeignStream(await engine.ensure_ready())
    assert await asyncio.to_thread(stream.first.wait, 10)
    pid = engine.status().pid
    assert pid is not None
    assert stream.running
    before = asyncio.get_running_loop().time()
    await engine.stop()
    assert asyncio.get_running_loop().time() - before < 3
    assert gone(pid)
    stream.close()


async def test_stopping_an_idle_engine_takes_a_moment(spec: EngineSpec, start: MakeEngine) -> None:
    """Without a second request, which would come after three quarters of a second."""
    engine = start(spec)
    await engine.ensure_ready()
    before = asyncio.get_running_loop().time()
    await engine.stop()
    assert asyncio.get_running_loop().time() - before < 0.5


async def test_the_next_call_after_a_kill_works_even_before_the_kill_was_seen(
    spec: EngineSpec, start: MakeEngine
) -> None:
    engine = start(spec)
    await engine.ensure_ready()
    process = psutil.Process(engine.status().pid)
    process.kill()
    await until(lambda: gone(process.pid), 2)
    address = await engine.ensure_ready()
    if engine.status().pid == process.pid:  # answered from the state before: the next one sees it
        address = await engine.ensure_ready()
    assert address.url == engine.status().url


def _texts(folder: Path, pattern: str) -> list[str]:
    return [path.read_text() for path in folder.glob(pattern)]


async def test_no_key_in_command_line_log_record_or_status(spec: EngineSpec, start: MakeEngine) -> None:
    engine = start(spec)
    address = await engine.ensure_ready()
    status = engine.status()
    assert address.api_key
    assert status.pid is not None
    records = _texts(run_dir(), "engine-*.json")
    command_line = " ".join(psutil.Process(status.pid).cmdline())
    logs = engine.log_tail(1000) + _texts(log_dir(), "*")
    assert len(records) == 1
    assert len(logs) > 10
    for text in (*records, command_line, *logs, repr(status), repr(address), str(address)):
        assert address.api_key not in text


async def test_the_record_of_a_stopped_engine_is_gone(spec: EngineSpec, start: MakeEngine) -> None:
    engine = start(spec)
    await engine.ensure_ready()
    assert len(list(run_dir().glob("engine-*"))) == 1
    await engine.stop()
    assert list(run_dir().glob("engine-*")) == []


async def test_the_child_is_told_no_secrets_of_others(
    spec: EngineSpec, start: MakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENROUTER_API_KEY", "sk-or-v1-0123456789abcdef")
    monkeypatch.setenv("https_proxy", "http://proxy.example:3128")
    monkeypatch.setenv("LLAMA_ARG_CTX_SIZE", "77")
    engine = start(spec)
    await engine.ensure_ready()
    told = psutil.Process(engine.status().pid).environ()
    assert not {"OPENROUTER_API_KEY", "https_proxy", "LLAMA_ARG_CTX_SIZE"} & told.keys()


# --- what goes wrong, and what is said -------------------------------------------------------------------


async def _failure(start: MakeEngine, spec: EngineSpec) -> EngineError:
    engine = start(spec)
    with pytest.raises(EngineError) as caught:
        await engine.ensure_ready()
    status = engine.status()
    assert status.state is EngineState.FAILED
    assert status.pid is None
    assert status.detail == str(caught.value)
    assert list(run_dir().glob("engine-*")) == []
    error = caught.value
    assert error.title.endswith(".")
    assert error.next_step.endswith(".")
    return error


async def test_a_missing_model_is_named(spec: EngineSpec, start: MakeEngine, tmp_path: Path) -> None:
    error = await _failure(start, replace(spec, model_path=tmp_path / "none.gguf"))
    assert error.cause == "model_missing"
    assert str(tmp_path / "none.gguf") in error.title


async def test_a_model_that_disappears_after_the_check_is_named_too(
    spec: EngineSpec, start: MakeEngine, tmp_path: Path
) -> None:
    link = tmp_path / "link.gguf"
    with spec.model_path.open("rb") as file:
        link.symlink_to(f"/proc/self/fd/{file.fileno()}")  # open for us, and not for the child
        error = await _failure(start, replace(spec, model_path=link))
    assert error.cause == "model_missing"


@pytest.mark.parametrize(
    ("content", "cause", "words"),
    [
        (lambda whole: b"", "model_corrupt", "is empty or cut off"),
        (lambda whole: whole[:3000], "model_corrupt", "is damaged or cut off"),
        (lambda whole: whole[:60_000], "model_corrupt", "is incomplete"),
        (lambda whole: b"<!DOCTYPE html>" + b" " * 9000, "not_a_model", "is not a model file"),
    ],
    ids=["empty", "cut in its header", "cut in its weights", "a web page"],
)
async def test_a_broken_model_is_explained(
    content: object,
    cause: str,
    words: str,
    spec: EngineSpec,
    start: MakeEngine,
    tmp_path: Path,
) -> None:
    assert callable(content)
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(content(spec.model_path.read_bytes()))
    error = await _failure(start, replace(spec, model_path=broken))
    assert (error.cause, words in error.title, "broken.gguf" in error.title) == (cause, True, True)


async def test_a_model_of_an_unknown_kind_is_explained(
    spec: EngineSpec, start: MakeEngine, tmp_path: Path
) -> None:
    model = write_tiny_model(tmp_path / "future.gguf", architecture="llama9")
    error = await _failure(start, replace(spec, model_path=model))
    assert error.cause == "unsupported_model"
    assert "llama9" in error.title


async def test_a_tokenizer_of_an_unknown_kind_is_explained(
    spec: EngineSpec, start: MakeEngine, tmp_path: Path
) -> None:
    model = write_tiny_model(tmp_path / "future.gguf", tokenizer="nobody-knows")
    error = await _failure(start, replace(spec, model_path=model))
    assert (error.cause, "nobody-knows" in error.title) == ("unsupported_model", True)


async def test_a_folder_is_not_a_model(spec: EngineSpec, start: MakeEngine, tmp_path: Path) -> None:
    error = await _failure(start, replace(spec, model_path=tmp_path))
    assert (error.cause, "is a folder" in error.title) == ("not_a_model", True)


async def test_a_flag_that_does_not_exist_is_named(spec: EngineSpec, start: MakeEngine) -> None:
    error = await _failure(start, replace(spec, extra_args=("--no-such-flag",)))
    assert (error.cause, "--no-such-flag" in error.title) == ("bad_flag", True)


async def test_a_flag_with_a_wrong_value_is_named(spec: EngineSpec, start: MakeEngine) -> None:
    error = await _failure(start, replace(spec, extra_args=("--threads", "many")))
    assert (error.cause, "--threads" in error.title) == ("bad_flag", True)


async def test_a_port_that_another_program_holds_is_named(spec: EngineSpec, start: MakeEngine) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        error = await _failure(start, replace(spec, port=port))
    assert (error.cause, f"Port {port}" in error.title) == ("port_taken", True)


async def test_a_port_taken_behind_our_back_is_replaced_by_another(
    spec: EngineSpec, start: MakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        ports = iter([taken, free_port()])
        monkeypatch.setattr("whisper_desktop.engines.launch.free_port", lambda: next(ports))
        address = await start(spec).ensure_ready()
    assert str(taken) not in address.url


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_AS is enforced on Linux only")
async def test_too_little_memory_is_explained(spec: EngineSpec, start: MakeEngine) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    engine = start(replace(spec, n_ctx=50_000_000))
    own = psutil.Process().memory_info().vms
    resource.setrlimit(resource.RLIMIT_AS, (own + 1_500_000_000, hard))  # children inherit it
    try:
        with pytest.raises(EngineError) as caught:
            await engine.ensure_ready()
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
    assert caught.value.cause == "out_of_memory"
    assert "50,000,000 tokens" in caught.value.detail
    assert "shorter context" in caught.value.next_step
