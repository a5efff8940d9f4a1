"""Faults of what an engine is started with: the model, the port, the options, the program."""

import asyncio
import os
import random
import signal
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.engines.chaos.faults import Catalogue
from tests.engines.chaos.table import NOTHING
from tests.engines.chaos.world import Problem, S, World
from tests.engines.conftest import until
from tests.engines.test_injected_causes import damaged
from tests.ports import closed_port
from whisper_desktop.engines import launch
from whisper_desktop.engines.repair import changed
from whisper_desktop.engines.spec import EngineSpec

FAULTS = Catalogue()

# --- the model, between two starts ------------------------------------------------------------------------


async def _broken(
    world: World, chance: random.Random, break_it: Callable[[], object], cause: str
) -> set[str]:
    """While it is stopped or asleep, or before it is killed. With the model mended a question starts it."""
    match chance.choice(["stopped", "asleep", "killed"]):
        case "stopped":
            await world.stop()
            break_it()
        case "asleep":
            await world.engine.rest("Resting.")
            break_it()
        case _:
            break_it()
            world.signal(signal.SIGKILL)
            if not await until(lambda: world.state is S.FAILED, 5):
                raise Problem(f"it did not fail with a broken model: {world.engine.status()}")
            world.forget("killed")
    await world.refused()
    starts = world.starts
    await world.refused()
    if world.starts != starts:
        raise Problem("what cannot help was tried again")
    world.mend_model()
    return {cause}


@FAULTS.add("the model damaged")
async def damaged_model(world: World, chance: random.Random) -> set[str]:
    content, cause = chance.choice([*damaged(world.sound).values()])
    return await _broken(world, chance, lambda: world.model.write_bytes(content), cause)


@FAULTS.add("the model cut off anywhere")
async def cut_model(world: World, chance: random.Random) -> set[str]:
    content = world.sound[: chance.randrange(len(world.sound))]
    return await _broken(world, chance, lambda: world.model.write_bytes(content), "model_corrupt")


@FAULTS.add("garbage in place of the model")
async def garbage_model(world: World, chance: random.Random) -> set[str]:
    content = b"\xff" + chance.randbytes(chance.randrange(8, 100_000))
    return await _broken(world, chance, lambda: world.model.write_bytes(content), "not_a_model")


@FAULTS.add("the model removed")
async def removed_model(world: World, chance: random.Random) -> set[str]:
    return await _broken(world, chance, world.model.unlink, "model_missing")


@FAULTS.add("a folder in place of the model")
async def folder_model(world: World, chance: random.Random) -> set[str]:
    def put() -> None:
        world.model.unlink()
        world.model.mkdir()

    return await _broken(world, chance, put, "not_a_model")


@FAULTS.add("a pipe in place of the model")
async def pipe_model(world: World, chance: random.Random) -> set[str]:
    def put() -> None:
        world.model.unlink()
        os.mkfifo(world.model)

    return await _broken(world, chance, put, "model_unreadable")


@FAULTS.add("another sound model in its place")
async def another_model(world: World, chance: random.Random) -> set[str]:
    other = world.model.with_name("other.gguf")
    other.write_bytes(world.sound)
    other.replace(world.model)
    if chance.random() < 0.5:
        await world.engine.rest("Resting.")
    await world.answered()
    return {NOTHING}


@FAULTS.add("the model cut off while it is mapped")
async def cut_mapped_model(world: World, chance: random.Random) -> set[str]:
    world.engine.respec(replace(world.spec, load_mode="mmap", extra_args=("--no-warmup",)))
    async with world.streaming() as asked:
        os.truncate(world.model, 0)
    await world.told()
    world.says_why(asked)
    world.mend_model()
    world.engine.respec(world.spec)
    return {"model_unreadable"}


# --- ports ------------------------------------------------------------------------------------------------


@FAULTS.add("its fixed port taken")
async def port_taken(world: World, chance: random.Random) -> set[str]:
    """It starts once the port is free, or at once where the repair is taken."""
    spec = replace(world.spec, port=closed_port())
    with socket.create_server(("127.0.0.1", spec.port or 0)):
        world.engine.respec(spec)
        await world.refused()
        if chance.random() < 0.5:
            repairs = [each.change for each in world.engine.status().repairs if each.id == "other_port"]
            world.engine.respec(changed(spec, repairs))
            await world.answered()
    await world.answered()
    world.engine.respec(world.spec)
    return {"port_taken"}


class _Foreign(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, format: str, *arguments: object) -> None:
        return


@FAULTS.add("its fixed port taken by a server while it starts")
async def port_taken_by_a_server(world: World, chance: random.Random) -> set[str]:
    """Either is first: the engine, which cannot listen, or we, who find that somebody else answers there."""
    port = closed_port()
    await world.stop()
    world.engine.respec(replace(world.spec, port=port))
    asked = world.begin()
    await until(lambda: world.process is not None, 5)
    with suppress(OSError), ThreadingHTTPServer(("127.0.0.1", port), _Foreign) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,)).start()
        await world.end(asked)
        await asyncio.to_thread(server.shutdown)
    await world.end(asked)
    await world.answered()
    world.engine.respec(world.spec)
    # The engine may have been quicker than the server.
    return {NOTHING} if asked.error is None else {"port_taken", "foreign_server"}


@FAULTS.add("free ports taken before it listens")
async def free_port_taken(world: World, chance: random.Random) -> set[str]:
    """Twice goes unnoticed; the third time is told."""
    times, found = chance.choice([1, 2, 3]), launch.free_port
    await world.stop()
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = iter([other.getsockname()[1]] * times)
        launch.free_port = lambda: next(taken, None) or found()
        try:
            asked = await world.ask()
        finally:
            launch.free_port = found
    if (asked.error is None) != (times < 3):
        raise Problem(f"with a port taken {times} times: {asked}")
    return {NOTHING} if times < 3 else {"port_taken"}


# --- options and programs ---------------------------------------------------------------------------------


async def _refused_with(world: World, spec: EngineSpec, cause: str) -> set[str]:
    world.engine.respec(spec)
    await world.refused()
    world.engine.respec(world.spec)
    return {cause}


@FAULTS.add("an option that cannot be used")
async def bad_option(world: World, chance: random.Random) -> set[str]:
    """The repair leaves it out."""
    options = chance.choice([("--nonsense", "5"), ("-ctk", "nonsense"), ("-t", "many"), ("--no-such-flag",)])
    spec = replace(world.spec, extra_args=options)
    causes = await _refused_with(world, spec, "bad_flag")
    repairs = [each.change for each in world.engine.status().repairs if each.id == "remove_option"]
    if changed(spec, repairs) != world.spec:
        raise Problem(f"the repair does not leave out {options}: {repairs}")
    return causes


@FAULTS.add("a port that is none")
async def bad_port(world: World, chance: random.Random) -> set[str]:
    return await _refused_with(world, replace(world.spec, port=70_000), "bad_flag")


@FAULTS.add("the program is none", reference=True)
async def bad_program(world: World, chance: random.Random) -> set[str]:
    program = world.model.with_name("llama-server")
    contents = {b"\x7fELF\2\1\1 not really": "binary_wrong", b"#!/bin/sh\necho Hello\n": "binary_wrong"}
    content = chance.choice([None, *contents])
    if content is not None:
        program.write_bytes(content)
        program.chmod(0o755)
    causes = await _refused_with(
        world, replace(world.spec, binary=program), contents[content] if content else "binary_missing"
    )
    program.unlink(missing_ok=True)
    return causes


@FAULTS.add("a further file is missing", reference=True)
async def further_file(world: World, chance: random.Random) -> set[str]:
    return await _refused_with(
        world, replace(world.spec, extra_args=("--mmproj", "/nowhere.gguf")), "extra_file"
    )


@FAULTS.add("another computer does not answer", reference=True)
async def computer_lost(world: World, chance: random.Random) -> set[str]:
    spec = replace(world.spec, rpc=(f"127.0.0.1:{closed_port()}",))
    return await _refused_with(world, spec, "computer_lost")
