"""From timings to figures: what a computer gives is found again from the times that it would take."""

from dataclasses import replace
from pathlib import Path

import pytest

from whisper_desktop.machine.figures import GpuFigures, MachineFigures
from whisper_desktop.models.calibration import Rate, Timing, best_threads, calibrated, predicted
from whisper_desktop.models.gguf import read_header
from whisper_desktop.models.shape import ModelShape, shape_of
from whisper_desktop.models.synthetic import Synthetic, write_synthetic

CARD = GpuFigures(500e9, 40e12, 0.8, 0.05e-3, 0.02e-3, 0.03e-3, name="Card", source="table")
TABLE = MachineFigures(28e9, 1e12, (CARD,))


def rate(tokens_a_second: float) -> Rate:
    return Rate(tokens_a_second, 0.01, 3, 100)


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> tuple[ModelShape, ModelShape]:
    """A large and a small one."""
    return (
        shape(tmp_path_factory.mktemp("large"), Synthetic(layers=8)),
        shape(
            tmp_path_factory.mktemp("small"), Synthetic(layers=4, width=256, kv_width=256, feed_forward=512)
        ),
    )


def shape(folder: Path, model: Synthetic) -> ModelShape:
    write_synthetic(folder / "model.gguf", model)
    found = shape_of(read_header(folder / "model.gguf"))
    assert found is not None
    return found


def timed(
    shapes: tuple[ModelShape, ...], truth: MachineFigures, gpu: str = ""
) -> list[tuple[ModelShape, Timing]]:
    found = []
    for each in shapes:
        speed = predicted(each, Timing("model", 2, rate(1), gpu=gpu), truth)
        assert speed.answer is not None
        assert speed.prompt is not None
        found.append((each, Timing("model", 2, rate(speed.answer), rate(speed.prompt), gpu=gpu)))
    return found


def test_the_figures_of_a_computer_follow_from_two_models(shapes: tuple[ModelShape, ModelShape]) -> None:
    truth = replace(TABLE, host_bandwidth=33e9, host_compute=0.3e12, layer_s=0.07e-3, source="measured")
    found = calibrated(TABLE, timed(shapes, truth))
    assert found.host_bandwidth == pytest.approx(33e9)
    assert found.host_compute == pytest.approx(0.3e12)
    assert found.layer_s == pytest.approx(0.07e-3)
    assert (found.source, found.gpus) == ("measured", TABLE.gpus)


def test_those_of_a_card_too(shapes: tuple[ModelShape, ModelShape]) -> None:
    card = replace(CARD, bandwidth=410e9, efficiency=1.0, compute=33e12, layer_s=0.09e-3, source="measured")
    found = calibrated(TABLE, timed(shapes, replace(TABLE, gpus=(card,)), "Card"))
    assert replace(found, gpus=()) == replace(TABLE, gpus=())
    assert found.gpus[0].bandwidth == pytest.approx(410e9)
    assert found.gpus[0].compute == pytest.approx(33e12)
    assert found.gpus[0].layer_s == pytest.approx(0.09e-3)
    assert (found.gpus[0].source, found.gpus[0].efficiency) == ("measured", 1.0)


def test_a_small_model_that_is_too_fast_leaves_no_time_to_the_layers(
    shapes: tuple[ModelShape, ModelShape],
) -> None:
    (large, at_large), (small, at_small) = timed(shapes, replace(TABLE, source="measured"))
    fast = replace(at_small, answer=rate(1e6))
    found = calibrated(TABLE, [(large, at_large), (small, fast)])
    assert found.layer_s == 0.0
    again = predicted(large, at_large, found)
    assert again.answer == pytest.approx(at_large.answer.median)


def test_with_one_model_alone_nothing_is_calibrated(shapes: tuple[ModelShape, ModelShape]) -> None:
    assert calibrated(TABLE, timed(shapes[:1], TABLE)) == TABLE
    assert calibrated(TABLE, []) == TABLE


def trial(threads: int, quiet: float, busy: float) -> list[Timing]:
    return [Timing("m", threads, rate(quiet)), Timing("m", threads, rate(busy), busy=True)]


def test_the_best_number_of_threads_is_good_in_company_too() -> None:
    assert best_threads(trial(2, 33.0, 1.0) + trial(1, 21.0, 20.0)) == 1
    assert best_threads(trial(2, 40.0, 1.0) + trial(1, 20.0, 18.0)) == 1
    assert best_threads(trial(8, 13.0, 11.0) + trial(7, 12.9, 10.9)) == 8
    assert best_threads(trial(2, 10.0, 10.0) + trial(1, 10.0, 10.0)) == 2
    assert best_threads(trial(1, 10.0, 5.0)) == 1
