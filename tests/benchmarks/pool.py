"""A pool of five roles: five processes, one server with five slots, and one role after another on one engine.

Throughput (all five roles write at the same time), memory (proportional set sizes, so that what is shared
counts once), isolation (one process is killed while all write: how many others notice?), and whether the
planner's choice for this machine is the better one: processes, unless they cost more than a quarter of the
speed. The three forms run side by side and are asked in turns, on both real engines, with three models of
random weights: one stays in the processor's cache, one makes it compute, one makes it wait for memory.

Run it with `python3 packaging/dev.py bench pool` on an idle machine: other programs hit a server with several
threads harder than processes with one, because its threads wait for each other.
"""

import asyncio
import os
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, NamedTuple

from tests.benchmarks._measure import Do, in_turns, table, verdict
from tests.engines.pool.conftest import ask, events_of, exactly
from tests.engines.tiny_model import write_tiny_model
from tests.reference_engine import missing
from whisper_desktop.engines.plan import Wishes
from whisper_desktop.engines.pool import Form, Pool, pool_plan, roles_named
from whisper_desktop.engines.pool.memory import shared_memory
from whisper_desktop.engines.pool.speed import ISOLATION_IS_WORTH
from whisper_desktop.engines.spec import EngineSpec
from whisper_desktop.machine import detect_resources
from whisper_desktop.models.gguf import read_header
from whisper_desktop.values import AttemptFailed, StreamEvent, TextDelta
from whisper_desktop.wire.http import Http

ROLES = roles_named()
ROUNDS = 5
CONTEXT = 2048
QUESTION = "What should be done next, and by whom?"
SEQUENTIAL = "one after another"
KILLED_AFTER = 3  # pieces of text


class Model(NamedTuple):
    """A model to measure with: its file, and how many tokens each answer has."""

    name: str
    path: Path
    tokens: int


def write_models(folder: Path) -> Iterable[Model]:
    """The three models."""
    yield Model("tiny, 0.1 MB", write_tiny_model(folder / "tiny.gguf"), 200)
    yield Model("Q4_K, 176 MB", write_random(folder / "q4_k.gguf", "Q4_K", layers=24), 24)
    yield Model("F16, 310 MB", write_random(folder / "f16.gguf", "F16", layers=12), 24)


def write_random(path: Path, kind: str, *, layers: int, width: int = 1024, inner: int = 2816) -> Path:
    """A llama whose matrices all have the type `kind`. What it says is noise; how fast it is, is real."""
    import gguf
    import numpy as np

    random = np.random.default_rng(7)
    letters = [chr(code) for code in range(33, 127)] + ["Ġ", "Ċ"]
    tokens = [*letters, "ab", "<|bos|>", "<|eos|>"]
    writer: Any = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(8192)
    writer.add_embedding_length(width)
    writer.add_block_count(layers)
    writer.add_feed_forward_length(inner)
    writer.add_head_count(16)
    writer.add_head_count_kv(16)
    writer.add_rope_dimension_count(width // 16)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types([1] * (len(tokens) - 2) + [3] * 2)
    writer.add_token_merges(["a b"])
    writer.add_bos_token_id(len(tokens) - 2)
    writer.add_eos_token_id(len(tokens) - 1)
    writer.add_chat_template("{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}assistant:")

    def matrix(name: str, rows: int, columns: int) -> None:
        if kind == "F16":
            writer.add_tensor(name, random.normal(0, 0.02, (rows, columns)).astype(np.float16))
            return
        blocks = random.integers(0, 256, (rows * columns // 256, 144), dtype=np.uint8)
        scales = np.array([1e-3, 1e-3], dtype=np.float16)  # of a block and of its minimum
        blocks[:, :4] = np.frombuffer(scales.tobytes(), np.uint8)
        writer.add_tensor(name, blocks.reshape(rows, -1), raw_dtype=gguf.GGMLQuantizationType.Q4_K)

    for name in ("token_embd.weight", "output.weight"):
        writer.add_tensor(name, random.normal(0, 0.3, (len(tokens), width)).astype(np.float32))
    writer.add_tensor("output_norm.weight", np.ones(width, dtype=np.float32))
    for layer in range(layers):
        for norm in ("attn_norm", "ffn_norm"):
            writer.add_tensor(f"blk.{layer}.{norm}.weight", np.ones(width, dtype=np.float32))
        for square in ("attn_q", "attn_k", "attn_v", "attn_output"):
            matrix(f"blk.{layer}.{square}.weight", width, width)
        for up in ("ffn_gate", "ffn_up"):
            matrix(f"blk.{layer}.{up}.weight", inner, width)
        matrix(f"blk.{layer}.ffn_down.weight", width, inner)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


async def measure(model: Model, binary: Path | None, http: Http) -> bool:
    """Measure one model on one engine; whether the planner's choice is the better one."""
    base = EngineSpec(model.path, "model", CONTEXT, binary=binary)
    header, resources, wishes = read_header(model.path), detect_resources(), Wishes(n_ctx=CONTEXT)
    choice = pool_plan(ROLES, base, header, resources, wishes=wishes)
    plans = {form.value: pool_plan(ROLES, base, header, resources, wishes=wishes, form=form) for form in Form}
    plans[choice.form.value] = choice  # with weights of its own or shared, as it decides by itself
    plans[SEQUENTIAL] = pool_plan(ROLES[:1], base, header, resources, wishes=wishes, form=Form.SLOTS)
    engine = "llama-server" if binary is not None else "built-in engine"
    shared = "shared" if choice.specs[0].load_mode == "mmap" else "own"
    print(f"\n=== {model.name} on the {engine}. The planner takes {choice.form.value} ({shared} weights).")

    async with AsyncExitStack() as stack:
        pools = {name: await stack.enter_async_context(Pool(plan, http=http)) for name, plan in plans.items()}
        kinds: dict[str, Do] = {name: _all_roles(pool, model.tokens) for name, pool in pools.items()}
        taken = await in_turns(kinds, rounds=ROUNDS)
        written = len(ROLES) * model.tokens
        rates = {name: written / statistics.median(seconds) for name, seconds in taken.items()}
        table("Tokens a second, five roles", rates, SEQUENTIAL, unit="t/s", per=1)
        memory = {name: float(shared_memory(_pids(pool)) or 0) for name, pool in pools.items()}
        table("Memory", memory, SEQUENTIAL, unit="MB ", per=1e-6)
        print("\nOne process is killed while all five write:")
        for form in Form:
            unharmed, seconds = await _kill_one(pools[form.value], model.tokens)
            print(
                f"  {unharmed} of 4 others unharmed, all answers complete after {seconds:.1f} s  {form.value}"
            )
    return _judge(rates, choice.form)


def _all_roles(pool: Pool, tokens: int) -> Do:
    """All roles at once; a pool of one role is asked as often, which it does in turns."""
    names = [each.role.name for each in pool.plan.roles]

    async def do() -> None:
        asked = (names * len(ROLES))[: len(ROLES)]
        await asyncio.gather(*(ask(pool.session(name), QUESTION, exactly(tokens)) for name in asked))

    return do


def _pids(pool: Pool) -> set[int]:
    return {each.pid for each in pool.status().roles if each.pid is not None}


async def _kill_one(pool: Pool, tokens: int) -> tuple[int, float]:
    """How many of the others noticed nothing, and after how long all answers were complete."""
    victim = pool.status().roles[0]
    pieces = 0

    def kill(event: StreamEvent) -> None:
        nonlocal pieces
        pieces += isinstance(event, TextDelta)
        if pieces == KILLED_AFTER and isinstance(event, TextDelta) and victim.pid is not None:
            os.kill(victim.pid, signal.SIGKILL)

    began = time.perf_counter()
    told = await asyncio.gather(
        *(
            events_of(
                pool.session(each.role),
                QUESTION,
                exactly(4 * tokens),
                kill if each == victim else lambda event: None,
            )
            for each in pool.status().roles
        )
    )
    unharmed = [not any(isinstance(event, AttemptFailed) for event in events) for events in told[1:]]
    return sum(unharmed), time.perf_counter() - began


def _judge(rates: Mapping[str, float], chosen: Form) -> bool:
    """Isolation is worth a quarter of the speed, and not more."""
    processes, slots = rates[Form.PROCESSES.value], rates[Form.SLOTS.value]
    better = Form.PROCESSES if processes >= ISOLATION_IS_WORTH * slots else Form.SLOTS
    print(
        f"\n  processes are {processes / slots:.2f} times as fast as slots, so {better.value} are better; "
        f"the planner takes {chosen.value}: {'met' if better is chosen else 'MISSED'}"
    )
    verdict("one after another, against the choice", rates[SEQUENTIAL] / rates[chosen.value], must=1.0)
    return better is chosen


async def main() -> bool:
    """Measure, and print; whether the planner's choice is always the better one."""
    binaries: list[Path | None] = [None]
    if reason := missing():
        print(f"Not measured: {reason}.")
    else:
        binaries.append(Path(os.environ["WHISPER_TEST_LLAMA_SERVER"]))
    right = []
    http = Http()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["WHISPER_HOME"] = folder
        for model in write_models(Path(folder)):
            for binary in binaries:
                right.append(await measure(model, binary, http))
    await http.aclose()
    print(f"\nload {os.getloadavg()[0]:.1f}; the better choice in {sum(right)} of {len(right)} cases")
    return all(right)


if __name__ == "__main__":
    sys.exit(not asyncio.run(main()))
