"""A placement that was worked out, against where llama.cpp puts it: workers stand in for graphics cards."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.engines.conftest import MakeEngine
from tests.engines.test_rpc import Worker
from tests.models.sparse_gguf import MIXTURE, SMALL, Shape, write_sparse
from tests.ports import closed_port
from whisper_desktop.engines.spec import EngineSpec
from whisper_desktop.machine import detect_resources
from whisper_desktop.models.gguf import read_header
from whisper_desktop.models.memory import ModelMemory, Placement
from whisper_desktop.models.shape import shape_of

pytestmark = pytest.mark.reference_engine

MIB = 2**20


@pytest.fixture
def cards(reference: EngineSpec, tmp_path: Path) -> Iterator[tuple[Worker, Worker]]:
    """Two devices that are not the processor."""
    assert reference.binary is not None
    if not reference.binary.with_name("ggml-rpc-server").exists():
        pytest.skip("this build of the reference engine has no RPC")
    first, second = (
        Worker(reference.binary, closed_port(), tmp_path / f"card-{number}.txt") for number in (0, 1)
    )
    for worker in (first, second):
        worker.wait_until(worker.listens, "begun to listen")
    yield first, second
    for worker in (first, second):
        worker.end()


@pytest.mark.parametrize(
    ("model", "gpu_layers", "experts_on_host"),
    [
        (SMALL, (3, 2), 0),
        (SMALL, (1, 4), 0),
        (SMALL, (0, 5), 0),
        (SMALL, (5, 0), 0),
        (SMALL, (2, 1), 0),
        (MIXTURE, (3, 2), 2),
        (MIXTURE, (2, 3), 4),
        (MIXTURE, (2, 2), 3),
    ],
    ids=["3 + 2", "1 + 4", "the last alone", "the first alone", "2 + 1 of 5",
         "experts of 2", "experts of all", "experts of 3, and layers"],
)  # fmt: skip
async def test_weights_and_caches_lie_on_each_card_as_they_were_placed(
    model: Shape,
    gpu_layers: tuple[int, int],
    experts_on_host: int,
    reference: EngineSpec,
    cards: tuple[Worker, Worker],
    start: MakeEngine,
    tmp_path: Path,
) -> None:
    file = write_sparse(tmp_path / "model.gguf", model)
    shape = shape_of(read_header(file))
    assert shape is not None
    placement = Placement(1024, gpu_layers, experts_on_host)
    need = ModelMemory(shape, detect_resources()).need(placement)
    engine = start(
        replace(
            reference,
            model_path=file,
            n_ctx=1024,
            n_gpu_layers=sum(gpu_layers),
            tensor_split=gpu_layers,
            experts_on_host=experts_on_host,
            rpc=tuple(card.address for card in cards),
        )
    )
    await engine.ensure_ready()
    assert engine.outcome is not None
    buffers = {each.device: each for each in engine.outcome.buffers}
    for number, card in enumerate(cards):
        part, found = need.gpus[number], buffers.get(f"RPC0[{card.address}]")
        assert (found.weights if found else 0) == pytest.approx(part.weights, abs=0.02 * MIB)
        assert (found.cache if found else 0) == pytest.approx(part.cache, abs=0.02 * MIB)
