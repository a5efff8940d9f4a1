"""What a model file says of itself, and what a model writes, is in the log, and none of it is believed."""

import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.engines.conftest import MakeEngine, gone, until
from tests.engines.tiny_model import write_tiny_model
from whisper_desktop.engines.child_mode import STATE, says_leaving, says_ready
from whisper_desktop.engines.diagnosis import diagnose
from whisper_desktop.engines.evidence import Evidence
from whisper_desktop.engines.outcome import Outcome, read_outcome
from whisper_desktop.engines.readiness import authorization
from whisper_desktop.engines.spec import EngineAddress, EngineSpec
from whisper_desktop.errors import EngineError
from whisper_desktop.values import EngineState, Reach
from whisper_desktop.wire.http import Http

SPEC = EngineSpec(Path("/models/some.gguf"), "some", n_ctx=8192)
SWINDLE = 'error while handling argument "x": your licence has expired, renew it at http://a.example'
LEAVING = "0.00.000.001 I srv    operator(): operator(): cleaning up before exit..."

LOADING = [
    "0.00.037.049 I srv    load_model: loading model '/models/some.gguf'",
    "0.00.041.940 I llama_model_loader: loaded meta data with 29 key-value pairs and 38 tensors",
    "0.00.041.969 I llama_model_loader: - kv   0:                       general.architecture str = llama",
    "0.00.042.239 I print_info: file format = GGUF V3 (latest)",
]
READ = "0.00.043.500 I print_info: max token length      = 10"


def named(*lines: str) -> list[str]:
    """The log of a model whose name is these lines."""
    return [*LOADING, f"0.00.043.400 I print_info: general.name          = {lines[0]}", *lines[1:], READ]


# --- A file that says what it wants -----------------------------------------------------------------------


@pytest.mark.parametrize("forged", [SWINDLE, f"0.00.043.450 E {SWINDLE}", "CUDA error: out of memory"])
@pytest.mark.parametrize("ready", [False, True])
def test_what_a_model_calls_itself_is_never_the_reason(forged: str, ready: bool) -> None:
    error = diagnose(SPEC, Evidence(-11, named("nice", forged, "tail"), ready=ready))
    assert error.cause == "crashed"
    assert "It left no message." in error.detail


def test_a_forged_end_of_the_header_does_not_end_it() -> None:
    lines = named("nice", READ, f"0.00.043.450 E {SWINDLE}", *LOADING)
    assert "licence" not in str(diagnose(SPEC, Evidence(1, lines)))


@pytest.mark.parametrize(
    "quoting",
    [
        "0.00.051.020 I srv          init: init: chat template, example_format: 'hello",
        "0.09.000.000 W common_chat_peg_parse: unparsed peg-native output: hello",
        "0.09.000.000 E srv    send_error: task id = 3, error: hello",
        "0.09.000.000 E srv    operator(): got exception: hello",
        "0.00.043.169 I load:   - 1279 ('hello",
    ],
)
def test_lines_that_go_on_with_a_quotation_are_a_part_of_it(quoting: str) -> None:
    error = diagnose(SPEC, Evidence(-11, [*named("nice"), quoting, SWINDLE]))
    assert "licence" not in str(error)


def test_what_is_said_before_and_after_the_header_is_believed() -> None:
    flag = ["error: invalid argument: --nonsense"]
    assert diagnose(SPEC, Evidence(1, flag)).cause == "bad_flag"
    no_memory = ["0.00.043.600 I llama_context: constructing llama_context", "what():  std::bad_alloc"]
    assert diagnose(SPEC, Evidence(-6, [*named("nice"), *no_memory])).cause == "out_of_memory"


def test_a_model_cannot_tell_how_it_was_loaded() -> None:
    forged = (
        "load_tensors: offloaded 33/33 layers to GPU",
        "load_tensors:        CUDA0 model buffer size =  4403.49 MiB",
        "llama_context: n_ctx                 = 7",
        "using device CUDA0 (a card of gold) - 1 MiB free",
    )
    assert read_outcome(named("nice", *forged)) == Outcome()
    real = "0.00.043.600 I load_tensors: offloaded 1/2 layers to GPU"
    assert read_outcome([*named("nice", *forged), real]) == Outcome(1, 2)


async def test_a_real_engine_s_error_says_nothing_that_the_model_file_wants(
    spec: EngineSpec, start: MakeEngine, tmp_path: Path
) -> None:
    model = write_tiny_model(tmp_path / "tiny.gguf", name=f"nice\n{SWINDLE}\n0.00.000.001 E {SWINDLE}\n")
    none = str(tmp_path / "none.gguf")
    engine = start(replace(spec, model_path=model, extra_args=("--lora", none)))
    with pytest.raises(EngineError) as caught:
        await engine.ensure_ready()
    assert any("licence" in line for line in engine.log_tail(1000)), "the real engine printed it"
    assert "licence" not in str(caught.value)


# --- Words that would end an engine -----------------------------------------------------------------------


async def test_a_model_that_calls_itself_ready_and_leaving_is_served(
    spec: EngineSpec, start: MakeEngine, tmp_path: Path
) -> None:
    words = f'nice\n{STATE}{{"state":"ready","payload":{{}}}}\ncleaning up before exit\n{LEAVING}\n'
    engine = start(replace(spec, model_path=write_tiny_model(tmp_path / "tiny.gguf", name=words)))
    await engine.ensure_ready()
    assert LEAVING in engine.log_tail(1000), "the real engine printed it"
    assert engine.status().state is EngineState.READY


async def test_a_model_cannot_end_its_engine_by_what_it_writes(
    scripted: Callable[..., EngineSpec], start: MakeEngine, http: Http
) -> None:
    engine = start(scripted("forge"))
    address = await engine.ensure_ready()
    pid = engine.status().pid
    await _asked(http, address)
    assert sum(map(says_leaving, engine.log_tail(1000))) == 2
    assert not await until(lambda: engine.status().pid != pid, 1.0)


async def _asked(http: Http, address: EngineAddress) -> None:
    await http.request(
        "POST",
        f"{address.url}/v1/chat/completions",
        allowed=Reach.THIS_MACHINE,
        headers=authorization(address),
        json={"messages": [{"role": "user", "content": "Hi"}]},
    )


@pytest.mark.parametrize("name", ["fake", pytest.param("reference", marks=pytest.mark.reference_engine)])
async def test_an_engine_that_others_told_to_end_is_not_left_waiting(
    name: str, request: pytest.FixtureRequest, scripted: Callable[..., EngineSpec], start: MakeEngine
) -> None:
    """In child mode it would wait for a word of its owner, and nobody looks at an engine that is not used."""
    engine = start(scripted() if name == "fake" else request.getfixturevalue(name))
    await engine.ensure_ready()
    pid = engine.status().pid
    assert pid is not None
    os.kill(pid, signal.SIGTERM)
    assert await until(lambda: gone(pid), 2.0)
    assert await until(lambda: engine.status().cause == "killed", 2.0)


@pytest.mark.parametrize(
    ("line", "ready"),
    [
        (f'{STATE}{{"state":"ready","payload":{{"id":"x"', True),
        (f'{STATE}{{"state": "ready", "payload": {{}}}}', True),
        (f'{STATE}{{"state":"ready"}}', False),
        (f'{STATE}{{"state":"loading","payload":{{"state":"ready","payload":{{}}}}}}', False),
        (f'x {STATE}{{"state":"ready","payload":{{}}}}', False),
    ],
)
def test_a_child_says_that_it_is_ready_in_one_form(line: str, ready: bool) -> None:
    assert says_ready(line) is ready


@pytest.mark.parametrize(
    ("line", "leaving"),
    [
        (LEAVING, True),
        ("0.00.000.001 I srv  llama_server: cleaning up before exit...", True),
        ("cleaning up before exit", False),
        (f"well: {LEAVING}", False),
        (f"{LEAVING} he said", False),
        ("0.00.000.001 W srv    operator(): cleaning up before exit...", False),
    ],
)
def test_a_child_says_that_it_leaves_in_one_form(line: str, leaving: bool) -> None:
    assert says_leaving(line) is leaving
