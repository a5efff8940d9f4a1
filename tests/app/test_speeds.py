"""What our own engine reached in real use: which answers count, and that they are kept."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

import pytest

from tests.engines.tiny_model import write_tiny_model
from whisper_desktop.app.speeds import Speeds, mode_of, placement_of, spoken
from whisper_desktop.backends import create_backend
from whisper_desktop.engines import Engine, EngineSpec, make_engine
from whisper_desktop.engines.outcome import Outcome
from whisper_desktop.engines.spec import Expected
from whisper_desktop.errors import EngineError
from whisper_desktop.machine import detect_resources
from whisper_desktop.models.gguf import read_header
from whisper_desktop.models.measured import FILE, MeasuredStore, machine_key, model_key
from whisper_desktop.models.shape import shape_of
from whisper_desktop.values import GenerationConfig, Message, Provenance, Reach, Role, StreamEnd, Usage
from whisper_desktop.wire.http import Http

LONG = Usage(prompt_tokens=200, completion_tokens=101, tokens_per_second=10.1, prompt_tokens_per_second=50.0)


def provenance(usage: Usage, backend: str = "builtin") -> Provenance:
    return Provenance(
        backend=backend,
        server_name="",
        url="",
        model="tiny",
        reach=Reach.THIS_MACHINE,
        as_given=False,
        reason="",
        attempts=(),
        ttft_seconds=None,
        total_seconds=1.0,
        tokens_per_second=None,
        usage=usage,
    )


# --- which answers count ----------------------------------------------------------------------------------


def test_a_long_answer_counts_without_its_first_token() -> None:
    said = spoken(LONG)
    assert said.answer == pytest.approx(10.0)
    assert (said.prompt, said.context) == (50.0, 250)


@pytest.mark.parametrize(
    ("usage", "counts"),
    [
        (replace(LONG, completion_tokens=64), True),
        (replace(LONG, completion_tokens=63, tokens_per_second=101.0), False),
        (replace(LONG, completion_tokens=20, tokens_per_second=2.0), True),
        (replace(LONG, completion_tokens=15, tokens_per_second=0.5), False),
        (replace(LONG, completion_tokens=20, tokens_per_second=5.0), False),
        (replace(LONG, tokens_per_second=None), False),
        (replace(LONG, completion_tokens=None), False),
        (Usage(), False),
    ],
)
def test_a_short_answer_says_nothing_unless_it_took_long(usage: Usage, counts: bool) -> None:
    assert (spoken(usage).answer is not None) is counts


def test_a_prompt_counts_by_what_was_not_known_yet() -> None:
    assert spoken(replace(LONG, prompt_tokens=128)).prompt == 50.0
    assert spoken(replace(LONG, prompt_tokens=127)).prompt is None
    assert spoken(replace(LONG, prompt_tokens=1000, cached_prompt_tokens=900)).prompt is None


# --- how the model was placed -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> EngineSpec:
    path = write_tiny_model(tmp_path_factory.mktemp("model") / "tiny.gguf")
    return EngineSpec(path, "tiny", n_ctx=1024, threads=1)


def test_what_really_happened_goes_before_what_was_planned(tiny: EngineSpec) -> None:
    planned = replace(tiny, expected=Expected(gpu_layers=2, layers=2))
    assert placement_of(planned, None).gpu_layers == (2,)
    assert placement_of(planned, Outcome(gpu_layers=1)).gpu_layers == (1,)
    assert placement_of(planned, Outcome(gpu_layers=0)).gpu_layers == ()
    assert placement_of(tiny, None).gpu_layers == ()
    assert placement_of(replace(planned, tensor_split=(1, 1)), None).gpu_layers == (1, 1)
    assert placement_of(replace(planned, tensor_split=(9, 9)), None).gpu_layers == (2,)


def test_the_way_of_placing_has_a_name(tiny: EngineSpec) -> None:
    shape = shape_of(read_header(tiny.model_path))
    assert shape is not None
    mixture = replace(shape, experts=8, experts_used=2)

    def mode(layers: int, experts: int = 0) -> str:
        spec = replace(tiny, experts_on_host=experts)
        return mode_of(mixture, placement_of(spec, Outcome(gpu_layers=layers)))

    assert [mode(0), mode(1), mode(2), mode(2, 1)] == ["cpu", "partial", "gpu", "experts"]
    assert mode(0, 1) == "cpu"


# --- kept -------------------------------------------------------------------------------------------------


@pytest.fixture
async def engine(tiny: EngineSpec) -> AsyncIterator[Engine]:
    http = Http()
    engine = make_engine(tiny, http=http)
    yield engine
    await engine.close()
    await http.aclose()


@pytest.fixture
def store(tmp_path: Path) -> MeasuredStore:
    return MeasuredStore(tmp_path / FILE)


def make_speeds(store: MeasuredStore, engine: Engine) -> Speeds:
    async def the_engine(kind: str) -> Engine:
        if kind == "guide":
            raise EngineError("It is closing.")
        return engine

    return Speeds(store, engine=the_engine, resources=lambda: asyncio.to_thread(detect_resources))


async def answer_of(engine: Engine, tokens: int) -> Usage:
    http = Http()
    backend = create_backend({"backend": "builtin"}, http=http, engine=engine)
    question = [Message(Role.USER, "Tell me a long story. " * 10)]
    try:
        config = GenerationConfig(max_tokens=tokens, extra={"ignore_eos": True})
        async with aclosing(backend.stream_batches(question, config)) as batches:
            async for batch in batches:
                for event in batch:
                    if isinstance(event, StreamEnd):
                        return event.usage
    finally:
        await backend.shutdown()
        await http.aclose()
    raise AssertionError("It did not end.")


async def test_a_real_answer_is_kept_with_what_was_predicted_for_it(
    engine: Engine, store: MeasuredStore
) -> None:
    usage = await answer_of(engine, 100)
    assert usage.completion_tokens == 100
    speeds = make_speeds(store, engine)
    speeds.answered(provenance(usage))
    await speeds.stop()
    path, resources = engine.spec.model_path, detect_resources()
    found = store.look_up(model_key(path.name, path.stat().st_size), machine_key(resources), "cpu")
    assert found is not None
    assert usage.tokens_per_second is not None
    assert found.answer == pytest.approx(0.99 * usage.tokens_per_second)
    assert found.prompt == usage.prompt_tokens_per_second
    assert found.predicted is not None
    assert found.predicted > 0


def kept(store: MeasuredStore) -> bool:
    return store._path is not None and store._path.exists()


async def test_answers_that_do_not_count_leave_no_trace(engine: Engine, store: MeasuredStore) -> None:
    speeds = make_speeds(store, engine)
    speeds.answered(provenance(LONG, "ollama"))
    speeds.answered(provenance(Usage(completion_tokens=5, tokens_per_second=10.0)))
    speeds.answered(provenance(LONG, "guide"))
    await speeds.stop()
    assert not kept(store)
    engine.respec(replace(engine.spec, rpc=("10.0.0.1:50052",)))
    speeds.answered(provenance(LONG))
    await speeds.stop()
    assert not kept(store)


async def test_a_model_that_is_gone_is_no_reason_to_complain(engine: Engine, store: MeasuredStore) -> None:
    engine.respec(replace(engine.spec, model_path=Path("nowhere.gguf")))
    speeds = make_speeds(store, engine)
    speeds.answered(provenance(LONG))
    (keeping,) = speeds._keeping
    await keeping
    await speeds.stop()
    assert not kept(store)
