"""The figures: what is counted, and that counting stays small."""

from dataclasses import fields, replace
from typing import TypedDict

from whisper_desktop.llm.metrics import ActiveRequest, Metrics
from whisper_desktop.values import Attempt, ErrorKind, Provenance, Reach, Usage


class Ended(TypedDict):
    """What `answered` wants to know beside the provenance."""

    failover: bool
    lost_seconds: float


OLLAMA = Attempt("ollama", "Ollama", "http://127.0.0.1:11434", "qwen", None, "Ollama answered.", 1.5)
DEAD = Attempt(
    "lm_studio",
    "LM Studio",
    "http://127.0.0.1:1234",
    None,
    ErrorKind.CONNECT_REFUSED,
    "a detail that is nobody's business",
    0.25,
)

AT_ONCE = Ended(failover=False, lost_seconds=0.0)


def provenance(*attempts: Attempt, seconds: float = 2.0, usage: Usage | None = None) -> Provenance:
    answering = attempts[-1]
    return Provenance(
        answering.backend,
        answering.server_name,
        answering.url,
        answering.model or "",
        Reach.THIS_MACHINE,
        True,
        "",
        attempts,
        0.5,
        seconds,
        None,
        usage or Usage(),
    )


def test_a_question_is_active_until_it_has_ended() -> None:
    now = [10.0]
    metrics = Metrics(clock=lambda: now[0])
    metrics.started("first")
    now[0] = 12.0
    metrics.started("second", batch=True)
    metrics.asking("first", "lm_studio", None)
    metrics.asking("first", "ollama", "qwen")
    assert metrics.active() == (
        ActiveRequest("first", 2.0, False, 2, "ollama", "qwen"),
        ActiveRequest("second", 0.0, True, 0, None, None),
    )
    metrics.answered("first", provenance(OLLAMA), **AT_ONCE)
    metrics.cancelled("second")
    assert metrics.active() == ()


def test_every_question_is_counted_once_by_how_it_ended() -> None:
    metrics = Metrics()
    for number in range(5):
        metrics.started(str(number))
    metrics.answered("0", provenance(OLLAMA), **AT_ONCE)
    metrics.failed("1")
    metrics.interrupted("2")
    metrics.cancelled("3")
    stats = metrics.stats()
    assert stats.total == 5
    counts = (stats.active, stats.answered, stats.failed, stats.interrupted, stats.cancelled)
    assert counts == (1, 1, 1, 1, 1)


def test_generation_times_are_those_of_answered_questions() -> None:
    metrics = Metrics()
    assert metrics.stats().average_generation_time is None
    for seconds in (1.0, 2.0, 6.0):
        metrics.started("a")
        metrics.answered("a", provenance(OLLAMA, seconds=seconds), **AT_ONCE)
    metrics.started("b")
    metrics.failed("b")
    stats = metrics.stats()
    assert (stats.total_generation_time, stats.average_generation_time) == (9.0, 3.0)


def test_failovers_are_counted_with_the_time_they_cost() -> None:
    metrics = Metrics()
    for _ in range(2):
        metrics.answered("a", provenance(DEAD, OLLAMA), failover=True, lost_seconds=0.25)
    metrics.answered("a", provenance(replace(OLLAMA, kind=ErrorKind.SERVER_ERROR), OLLAMA), **AT_ONCE)
    stats = metrics.stats()
    assert (stats.failovers, stats.fallback_seconds) == (2, 0.5)


def test_each_model_of_each_backend_has_its_own_figures() -> None:
    metrics = Metrics()
    metrics.attempt(DEAD)
    metrics.attempt(replace(DEAD, skipped=True))
    metrics.attempt(
        OLLAMA, ttft=0.2, usage=Usage(prompt_tokens=10, completion_tokens=5, tokens_per_second=40.0)
    )
    metrics.attempt(OLLAMA, ttft=0.4, tokens_per_second=20.0, usage=Usage(cost_usd=0.5))
    metrics.attempt(replace(OLLAMA, kind=ErrorKind.STALLED))
    dead, ollama = sorted(metrics.stats().backends, key=lambda backend: backend.backend)
    assert (dead.model, dead.attempts, dead.answers, dead.left_out) == ("", 1, 0, 1)
    assert dead.failures == {ErrorKind.CONNECT_REFUSED: 1}
    assert dead.ttft_p50 is None
    assert (ollama.model, ollama.attempts, ollama.answers) == ("qwen", 3, 2)
    assert (ollama.ttft_p50, ollama.ttft_p95) == (0.2, 0.4)
    assert (ollama.tokens_per_second_p50, ollama.tokens_per_second_p95) == (20.0, 40.0)
    assert (ollama.prompt_tokens, ollama.completion_tokens, ollama.cost_usd) == (10, 5, 0.5)


def test_percentiles_are_by_nearest_rank() -> None:
    metrics = Metrics()
    for ttft in range(100, 0, -1):
        metrics.attempt(OLLAMA, ttft=float(ttft))
    (figures,) = metrics.stats().backends
    assert (figures.ttft_p50, figures.ttft_p95) == (50.0, 95.0)


def test_costs_do_not_drift() -> None:
    metrics = Metrics()
    for _ in range(1000):
        metrics.answered("a", provenance(OLLAMA, usage=Usage(1, 2, cost_usd=0.0001)), **AT_ONCE)
    stats = metrics.stats()
    assert (stats.cost_usd, stats.prompt_tokens, stats.completion_tokens) == (0.1, 1000, 2000)


def test_what_others_know_is_handed_in() -> None:
    metrics = Metrics()
    metrics.restarted()
    stats = metrics.stats(loaded_models=["qwen"], breakers={"LM Studio": "open"})
    assert (stats.loaded_models, stats.breakers, stats.restarts) == (("qwen",), {"LM Studio": "open"}, 1)


def test_memory_is_bounded() -> None:
    metrics = Metrics()
    for number in range(20_000):
        metrics.started(str(number))
        metrics.attempt(replace(OLLAMA, model=f"model {number % 200}"), ttft=1.0)
    for _ in range(2000):
        metrics.attempt(OLLAMA, ttft=1.0, tokens_per_second=1.0)
    assert len(metrics.active()) == 10_000
    assert len(metrics.stats().backends) == 64
    assert len(metrics._figures["ollama", "qwen"].ttfts) == 512


def test_no_content_is_kept() -> None:
    metrics = Metrics()
    metrics.attempt(DEAD)
    metrics.answered("a", provenance(DEAD, OLLAMA), failover=True, lost_seconds=0.25)
    assert "nobody's business" not in repr(metrics.stats())
    assert {field.name for field in fields(ActiveRequest)}.isdisjoint({"text", "messages", "prompt"})
