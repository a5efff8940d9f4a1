"""From the click to the first token: our own start of an engine, against the same engine started by hand.

By hand means the least that a script can do: the same program with the same flags, `/health` every 10 ms,
then one streamed question. Ours is what a person's first question does: the engine is off, the backend starts
it, it proves itself, the question is streamed. Both end with the first text. They run in turns, on both real
engines, with a model that loads at once and with one that takes about a second.

"first" is the first start since the app began, which also asks the program for its options; "again" is every
later one. Run it with `python3 packaging/dev.py bench first_token` on an idle machine.
"""

import asyncio
import gc
import http.client
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, aclosing
from dataclasses import replace
from pathlib import Path

from tests.benchmarks._clients import own_http
from tests.benchmarks._measure import medians, shuffled, table, verdict
from tests.engines.tiny_model import write_tiny_model
from tests.models.sparse_gguf import Shape, write_sparse
from tests.reference_engine import missing
from whisper_desktop.backends import create_backend
from whisper_desktop.engines import EngineSpec, make_engine
from whisper_desktop.engines.builds.describe import ask
from whisper_desktop.engines.command import child_folder, engine_flags
from whisper_desktop.engines.launch import free_port
from whisper_desktop.values import Deadlines, GenerationConfig, Message, Role, TextDelta
from whisper_desktop.wire.http import Http

PAIRS = 15
MUST, AIM = 1.25, 1.05  # ratio, where the load takes about a second
MUST_ADD, AIM_ADD = 100, 20  # milliseconds, where it takes next to nothing
POLL = 0.01  # seconds between two looks by hand
QUESTION = "Hello"
SECOND = Shape(16, 2048, 32, 8, 64, 8192, 32_768, tied=True, context=8192)
"""A model of about 0.7 GB."""

BY_HAND, AGAIN, FIRST = "by hand", "ours, again", "ours, first"

XLLAMACPP = """
import sys, threading
import xllamacpp
from xllamacpp import CommonParams, Server
params = CommonParams()
params.model.path, params.port, params.n_ctx = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
params.hostnames, params.n_parallel, params.cpuparams.n_threads = ["127.0.0.1"], 1, int(sys.argv[4])
params.load_mode = xllamacpp.llama_load_mode.LLAMA_LOAD_MODE_NONE
params.no_extra_bufts = sys.argv[5] == "off"
server = Server(params)
threading.Event().wait()
"""

Start = Callable[[], Awaitable[float]]


async def main() -> bool:
    """Measure, and print a table for each engine and model; whether what must be met is met."""
    met = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["WHISPER_HOME"] = str(folder / "home")
        tiny, second = write_tiny_model(folder / "tiny.gguf"), write_sparse(folder / "second.gguf", SECOND)
        async with AsyncExitStack() as stack:
            client = own_http(stack)
            for engine, binary in engines():
                spec = EngineSpec(tiny, "m", n_ctx=2048, threads=1, binary=binary, repack=False)
                at_once = await compare(f"{engine}, a model that loads at once", spec, client, folder)
                added = (at_once[AGAIN] - at_once[BY_HAND]) * 1e3
                met.append(verdict("ours adds", added, must=MUST_ADD, aim=AIM_ADD, unit="ms"))
                spec = replace(spec, model_path=second)
                slow = await compare(f"{engine}, a model that loads for a second", spec, client, folder)
                met.append(verdict(AGAIN, slow[AGAIN] / slow[BY_HAND], must=MUST, aim=AIM))
    return all(met)


def engines() -> Iterator[tuple[str, Path | None]]:
    """What is measured: the name of the engine and its program, None for the built-in one."""
    yield "built-in engine", None
    if reason := missing():
        print(f"Without llama-server: {reason}")
    else:
        yield "llama-server", Path(os.environ["WHISPER_TEST_LLAMA_SERVER"])


async def compare(title: str, spec: EngineSpec, client: Http, folder: Path) -> Mapping[str, float]:
    """The medians of one engine and model, printed as a table."""
    flags = None if spec.binary is None else (await ask(spec.binary, Deadlines())).flags
    kinds: dict[str, Start] = {
        BY_HAND: lambda: asyncio.to_thread(by_hand, spec, flags),
        AGAIN: lambda: ours(spec, client),
    }
    if spec.binary is not None:
        kinds[FIRST] = lambda: ours(never_seen(spec, folder), client)
    middle = medians(await in_turns(kinds))
    table(f"Until the first text: {title} (median of {PAIRS})", middle, BY_HAND, unit="ms", per=1e3)
    return middle


def never_seen(spec: EngineSpec, folder: Path) -> EngineSpec:
    """The same program under a name of which nothing is known yet."""
    assert spec.binary is not None
    beside = Path(tempfile.mkdtemp(dir=folder)) / spec.binary.name
    beside.symlink_to(spec.binary)
    return replace(spec, binary=beside)


async def in_turns(kinds: Mapping[str, Start]) -> dict[str, list[float]]:
    """The seconds that each start of each kind tells; what they do afterwards is not counted."""
    taken: dict[str, list[float]] = {name: [] for name in kinds}
    for turn in range(PAIRS + 1):
        for name in shuffled(kinds):
            gc.collect()
            seconds = await kinds[name]()
            if turn > 0:  # the first round warms up
                taken[name].append(seconds)
    return taken


async def ours(spec: EngineSpec, client: Http) -> float:
    """The seconds of a first question to an engine that is off."""
    engine = make_engine(spec, http=client)
    backend = create_backend({"backend": "builtin"}, http=client, engine=engine)
    asked = [Message(Role.USER, QUESTION)]
    config = GenerationConfig(max_tokens=16, temperature=0)
    started = time.perf_counter()
    try:
        async with aclosing(backend.generate_stream(asked, config)) as events:
            async for event in events:
                if isinstance(event, TextDelta) and event.text:
                    return time.perf_counter() - started
    finally:
        await engine.stop()
    raise AssertionError("there was no text")


def by_hand(spec: EngineSpec, flags: frozenset[str] | None) -> float:
    """The same, with nothing but the program."""
    port = free_port()
    if spec.binary is None:
        told = (str(spec.model_path), str(port), str(spec.n_ctx), str(spec.threads), "off")
        command = [sys.executable, "-c", XLLAMACPP, *told]
    else:
        command = [str(spec.binary), *engine_flags(spec, port, flags)]
    started = time.perf_counter()
    with subprocess.Popen(command, cwd=child_folder(), stderr=subprocess.DEVNULL) as process:
        try:
            while not _is_healthy(port):
                time.sleep(POLL)
            _read_first_text(port)
            return time.perf_counter() - started
        finally:
            process.kill()


def _is_healthy(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _read_first_text(port: int) -> None:
    asked = [{"role": "user", "content": QUESTION}]
    body = {"messages": asked, "stream": True, "max_tokens": 16, "temperature": 0}
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request(
            "POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json"}
        )
        for line in connection.getresponse():
            if line.startswith(b"data: {"):
                choices = json.loads(line[6:])["choices"]
                if choices and choices[0]["delta"].get("content"):
                    return
    finally:
        connection.close()
    raise AssertionError("there was no text")


if __name__ == "__main__":
    sys.exit(not asyncio.run(main()))
