"""`engine pool plan|try`: engines for the roles of agents, what would run, and a trial of it."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from whisper_desktop.cli import output, shapes
from whisper_desktop.cli.running import Failed, json_option, run
from whisper_desktop.errors import SettingsError, WhisperError
from whisper_desktop.values import AnswerFinished, Completion, Deadlines, GenerationConfig

if TYPE_CHECKING:
    from whisper_desktop.app.pool_host import PoolHost
    from whisper_desktop.engines.pool import AnyPool, PoolPlan
    from whisper_desktop.settings import LLMSettings

T = TypeVar("T")

_LONGEST = 512  # tokens of an answer: it is a trial


@click.group()
def pool() -> None:
    """Try a pool of engines for the roles of agents.

    The roles are those of llm.pool.roles, the model is the one of llm.gguf_model_path.
    """


@pool.command()
@json_option
def plan(as_json: bool) -> None:
    """Say what would run: how many processes or slots, how much memory, and why. Starts nothing."""

    async def work(host: "PoolHost", model: Path | None, llm: "LLMSettings") -> "PoolPlan | None":
        return None if llm.pool.stub else await host.plan(model, llm)

    planned = run(_with_host(work), as_json=as_json)
    if as_json:
        output.emit_json(_plan_shape(planned))
        return
    if planned is None:
        output.say("Fixed texts would answer, without a model: llm.pool.stub is on.")
        return
    _say_plan(planned)


@dataclass(frozen=True, slots=True)
class _Trial:
    """What came of it. Seconds; `together` is tokens a second of all roles; `memory` is in bytes."""

    plan: "PoolPlan | None"
    detail: str
    ready: float
    stop: float
    together: float
    memory: int | None
    answers: "dict[str, Completion | WhisperError]"


@pool.command(name="try")
@click.argument("prompt")
@click.option("--role", "roles", multiple=True, metavar="ROLE", help="Only this role (may be repeated).")
@json_option
def try_(prompt: str, roles: tuple[str, ...], as_json: bool) -> None:
    """Start the pool, ask every role PROMPT at the same time, say how it went, and stop it."""

    async def work(host: "PoolHost", model: Path | None, llm: "LLMSettings") -> _Trial:
        with output.progress("Planning the pool…") as waiting:
            return await _trial(host, model, llm, prompt, roles, waiting.say)

    trial = run(_with_host(work), as_json=as_json)
    if as_json:
        output.emit_json(_trial_shape(trial))
    else:
        _say_trial(trial)
    if any(isinstance(answer, WhisperError) for answer in trial.answers.values()):
        raise Failed


async def _with_host(work: "Callable[[PoolHost, Path | None, LLMSettings], Coroutine[Any, Any, T]]") -> T:
    from whisper_desktop.app.pool_host import PoolHost
    from whisper_desktop.machine import detect_resources
    from whisper_desktop.settings import load_settings
    from whisper_desktop.wire.http import Http

    llm = load_settings().settings.llm
    http = Http(allow_network=llm.allow_network)
    host = PoolHost(http=http, deadlines=Deadlines(), detect=detect_resources)
    try:
        return await work(host, llm.own_model, llm)
    finally:
        await host.stop()
        await http.aclose()


async def _trial(
    host: "PoolHost",
    model: Path | None,
    llm: "LLMSettings",
    prompt: str,
    roles: Sequence[str],
    say: Callable[[str], None],
) -> _Trial:
    chosen = roles or llm.pool.roles
    if unknown := [role for role in chosen if role not in llm.pool.roles]:
        raise SettingsError(
            f"The pool has no role {unknown[0]}.",
            f"Its roles are {', '.join(llm.pool.roles)}.",
            "Name one of them, or set others as llm.pool.roles.",
            key="llm.pool.roles",
        )
    pool = await host.open(model, llm, on_progress=lambda progress: say(progress.sentence))
    began = time.monotonic()
    status = await pool.start()
    ready = time.monotonic() - began
    say("Asking…")
    began = time.monotonic()
    answers = await asyncio.gather(*(_answer(pool, role, prompt) for role in chosen))
    seconds = time.monotonic() - began
    memory = await asyncio.to_thread(_memory, pool)
    written = sum(each.usage.completion_tokens or 0 for each in answers if isinstance(each, Completion))
    say("Stopping…")
    began = time.monotonic()
    await host.stop()
    return _Trial(
        getattr(pool, "plan", None),
        status.detail,
        ready,
        time.monotonic() - began,
        written / seconds,
        memory,
        dict(zip(chosen, answers, strict=True)),
    )


async def _answer(pool: "AnyPool", role: str, prompt: str) -> Completion | WhisperError:
    try:
        events = pool.session(role).stream(prompt, GenerationConfig(max_tokens=_LONGEST))
        async with aclosing(events):
            async for event in events:
                if isinstance(event, AnswerFinished):
                    return event.completion
    except WhisperError as error:
        return error
    raise AssertionError("an answer ends with its completion or an error")


def _memory(pool: "AnyPool") -> int | None:
    from whisper_desktop.engines.pool.memory import shared_memory

    return shared_memory({each.pid for each in pool.status().roles if each.pid is not None})


# --- what is shown ----------------------------------------------------------------------------------------


def _say_plan(planned: "PoolPlan") -> None:
    for reason in planned.reasons:
        output.say(reason)
    if planned.warning:
        output.say(planned.warning)
    rows = [
        (each.role.name, f"process {each.instance + 1}", f"slot {each.slot + 1}") for each in planned.roles
    ]
    output.say()
    output.table(rows)


def _say_trial(trial: _Trial) -> None:
    for role, answer in trial.answers.items():
        output.heading(role)
        if isinstance(answer, WhisperError):
            output.say(str(answer))
        else:
            output.say(answer.text)
            output.note(f"  {_facts(answer)}")
        output.say()
    facts = [f"Ready after {trial.ready:.1f} s", f"{trial.together:.0f} tokens a second together"]
    if trial.memory:
        facts.append(f"{output.gigabytes(trial.memory)} of memory")
    output.say(f"{trial.detail} {', '.join(facts)}, stopped after {trial.stop:.1f} s.")


def _facts(answer: Completion) -> str:
    told = answer.provenance
    facts = [f"{answer.usage.completion_tokens or 0} tokens in {told.total_seconds:.1f} s"]
    if told.ttft_seconds is not None:
        facts.append(f"first token after {told.ttft_seconds:.2f} s")
    if told.tokens_per_second:
        facts.append(f"{told.tokens_per_second:.1f} tokens a second")
    if len(told.attempts) > 1:
        facts.append(told.reason)
    return ", ".join(facts)


# --- the JSON shapes: fields are added, never renamed or removed ------------------------------------------


def _plan_shape(planned: "PoolPlan | None") -> shapes.Json:
    """`engine pool plan --json`; for a stub only `form` and no instances."""
    if planned is None:
        return {"form": "stub", "instances": [], "roles": [], "reasons": [], "warning": ""}
    return {
        "form": planned.form.value,
        "instances": [
            {
                "model": spec.alias,
                "n_ctx": spec.n_ctx,
                "slots": spec.parallel,
                "threads": spec.threads,
                "n_gpu_layers": spec.n_gpu_layers,
                "cache_type": spec.cache_type,
                "load_mode": spec.load_mode,
                "repack": spec.repack,
            }
            for spec in planned.specs
        ],
        "roles": [
            {"role": each.role.name, "instance": each.instance, "slot": each.slot} for each in planned.roles
        ],
        "need_bytes": planned.need_bytes,
        "room_bytes": planned.room_bytes,
        "reasons": list(planned.reasons),
        "warning": planned.warning,
    }


def _trial_shape(trial: _Trial) -> shapes.Json:
    """`engine pool try --json`."""
    return {
        "plan": _plan_shape(trial.plan),
        "detail": trial.detail,
        "ready_seconds": round(trial.ready, 3),
        "stop_seconds": round(trial.stop, 3),
        "tokens_per_second": round(trial.together, 1),
        "memory_bytes": trial.memory,
        "answers": {
            role: shapes.error_shape(answer)
            if isinstance(answer, WhisperError)
            else shapes.completion_shape(answer)
            for role, answer in trial.answers.items()
        },
    }
