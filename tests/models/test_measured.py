"""The store of what was measured: averages that forget slowly, and a file that nothing can break for long."""

import json
import multiprocessing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from whisper_desktop.machine.figures import MachineFigures, figures_for
from whisper_desktop.models.measured import FILE, MeasuredStore, machine_key, model_key
from whisper_desktop.values import GIB, GpuInfo, ResourceInfo

MODEL, MACHINE = model_key("Qwen3-8B-Q4_K_M.gguf", 5_027_783_488), "Some CPU; 8 cores; 16.0 GiB"


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        self.now += 1
        return self.now


@pytest.fixture
def store(tmp_path: Path) -> MeasuredStore:
    return MeasuredStore(tmp_path / FILE, clock=Clock())


def tell(store: MeasuredStore, answer: float | None, **more: Any) -> None:
    store.record(MODEL, MACHINE, **({"prompt": 100.0, "answer": answer, "mode": "cpu"} | more))


def speed_of(store: MeasuredStore, mode: str | None = None) -> float:
    found = store.look_up(MODEL, MACHINE, mode)
    assert found is not None
    assert found.answer is not None
    assert found.low < found.answer < found.high
    return found.answer


# --- models -----------------------------------------------------------------------------------------------


def test_what_was_measured_comes_back_with_what_was_predicted(store: MeasuredStore) -> None:
    assert store.look_up(MODEL, MACHINE) is None
    tell(store, 12.0, predicted=9.5)
    again = MeasuredStore(store._path).look_up(MODEL, MACHINE)
    assert again is not None
    assert (again.prompt, again.answer, again.predicted, again.source) == (100.0, 12.0, 9.5, "measured")
    assert again.words == "12 tokens/s measured, 9.5 predicted"


def test_the_average_of_the_first_answers_is_their_mean_and_later_ones_replace_it_slowly(
    store: MeasuredStore,
) -> None:
    for answer in (10.0, 12.0, 14.0):
        tell(store, answer)
    assert speed_of(store) == pytest.approx(12.0)
    for _ in range(10):
        tell(store, 12.0)
    tell(store, 20.0)
    assert speed_of(store) == pytest.approx(13.0), "one answer is an eighth at most"
    for _ in range(40):
        tell(store, 20.0)
    assert speed_of(store) == pytest.approx(20.0, rel=0.01), "what was long ago hardly counts"


def test_each_model_machine_and_way_of_placing_has_its_own_average(store: MeasuredStore) -> None:
    tell(store, 10.0)
    tell(store, 50.0, mode="gpu")
    store.record("another", MACHINE, prompt=None, answer=1.0, mode="cpu")
    store.record(MODEL, "another", prompt=None, answer=2.0, mode="cpu")
    assert (speed_of(store, "cpu"), speed_of(store, "gpu")) == (10.0, 50.0)
    assert speed_of(store) == 50.0, "the way that was used last"
    tell(store, 10.0)
    assert speed_of(store) == 10.0
    assert store.look_up(MODEL, MACHINE, "partial") is None


def test_a_prompt_and_an_answer_count_by_themselves(store: MeasuredStore) -> None:
    tell(store, None)
    assert store.look_up(MODEL, MACHINE) is None, "without an answer there is no speed to show"
    tell(store, 10.0, prompt=None)
    found = store.look_up(MODEL, MACHINE)
    assert found is not None
    assert (found.prompt, found.answer) == (100.0, 10.0)


@pytest.mark.parametrize("nonsense", [0.0, -1.0, float("nan"), float("inf"), 1e9])
def test_a_speed_that_nothing_has_is_not_kept(store: MeasuredStore, nonsense: float) -> None:
    tell(store, nonsense, prompt=nonsense, predicted=nonsense)
    assert store._path is not None
    assert not store._path.exists()
    tell(store, 10.0)
    tell(store, nonsense)
    assert speed_of(store) == 10.0


def test_the_file_stays_small_and_keeps_what_was_used_last(store: MeasuredStore, tmp_path: Path) -> None:
    entry = {"prompt": 1.0, "answer": 1.0, "predicted": 0.0, "answers": 1, "prompts": 1}
    models = {f"{MACHINE}\nmodel {number}\ncpu": {**entry, "last": float(number)} for number in range(500)}
    (tmp_path / FILE).write_text(json.dumps({"version": 1, "machines": {}, "models": models}))
    tell(store, 10.0)
    assert store.look_up("model 0", MACHINE) is None
    assert store.look_up("model 1", MACHINE) is not None
    assert speed_of(store) == 10.0
    assert (tmp_path / FILE).stat().st_size < 500_000


# --- the computer -----------------------------------------------------------------------------------------


def computer(ram: float = 16.0, *gpus: str) -> ResourceInfo:
    cards = tuple(GpuInfo("NVIDIA", name, 8 * GIB) for name in gpus)
    return ResourceInfo(
        "Linux", "", "x86_64", "Some CPU", 8, 16, int(ram * GIB), int(ram * GIB / 2), gpus=cards
    )


def test_a_computer_is_the_same_with_a_little_less_memory_and_another_one_with_other_parts() -> None:
    here = machine_key(computer(15.6))
    assert here == machine_key(computer(15.2)) == machine_key(computer(16))
    others = {
        machine_key(computer(32)),
        machine_key(computer(16, "RTX 4090")),
        machine_key(replace(computer(16), cores_physical=4)),
        machine_key(replace(computer(16), cpu_name="Another")),
    }
    assert len(others) == 4
    assert here not in others
    assert machine_key(computer(0))


def test_a_file_is_the_same_model_wherever_it_lies() -> None:
    assert model_key("a.gguf", 1) == model_key("a.gguf", 1) != model_key("a.gguf", 2)
    assert len(model_key("x" * 10_000, 1)) < 400


def test_measured_figures_take_the_place_of_those_from_tables(store: MeasuredStore) -> None:
    here = computer(16, "RTX 4090", "RTX 3060")
    table = figures_for(here)
    assert store.figures(here) == table
    card = replace(table.gpus[0], bandwidth=900e9, efficiency=1.0, source="measured")
    measured = replace(table, host_bandwidth=33e9, source="measured", gpus=(card, table.gpus[1]))
    assert store.save_calibration(machine_key(here), measured)
    assert store.figures(here) == measured
    kept = store.calibration(machine_key(here))
    assert kept is not None
    assert kept.gpus == (card,), "what stands in tables is not kept: the tables may become better"
    assert store.figures(here, (here.gpus[1], here.gpus[0])).gpus == (table.gpus[1], card)
    assert store.figures(computer(64)) == figures_for(computer(64))
    tell(store, 10.0)
    assert store.calibration(machine_key(here)) == kept


def test_only_so_many_computers_are_kept(store: MeasuredStore) -> None:
    figures = replace(figures_for(computer()), source="measured")
    for number in range(25):
        store.save_calibration(f"computer {number}", figures)
    assert store.calibration("computer 4") is None
    assert store.calibration("computer 5") == store.calibration("computer 24") == figures


# --- the file ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"{",
        b"\xff\xfe\x00 not text",
        b"[]",
        b"null",
        b'{"version": "one", "models": {}, "machines": {}}',
        b'{"version": 1, "models": [], "machines": {}}',
        b'{"version": 1, "models": {"a": 1}, "machines": {}}',
        b'{"version": 1, "models": {"a": {"prompt": 1, "answer": NaN, "predicted": 0, "answers": 1, '
        b'"prompts": 1, "last": 0}}, "machines": {}}',
        b'{"version": 1, "models": {"a": {"prompt": 1, "answer": 1, "predicted": 0, "answers": -1, '
        b'"prompts": 1, "last": 0}}, "machines": {}}',
        b'{"version": 1, "models": {}, "machines": {"a": {"host_bandwidth": 0, "host_compute": 1, '
        b'"layer_s": 0, "gpus": [], "source": "measured"}}}',
        b'{"version": 1, "models": {}, "machines": {"a": {"host_bandwidth": "x", "host_compute": 1, '
        b'"layer_s": 0, "gpus": [], "source": "measured"}}}',
        b'{"version": 1, "models": {}, "machines": {"a": {"host_bandwidth": 1, "host_compute": 1, '
        b'"layer_s": 0, "gpus": [], "source": "hearsay"}}}',
        b"[" * 100_000,
        b" " * 3_000_000,
    ],
)
def test_a_damaged_file_is_set_aside_with_a_sentence_and_begun_anew(
    store: MeasuredStore, tmp_path: Path, damage: bytes
) -> None:
    (tmp_path / FILE).write_bytes(damage)
    assert store.look_up(MODEL, MACHINE) is None
    assert store.calibration(MACHINE) is None
    assert not store.notice, "reading changes nothing"
    tell(store, 10.0)
    assert speed_of(store) == 10.0
    assert (tmp_path / f"{FILE}.damaged").read_bytes() == damage
    assert f"{FILE}.damaged" in store.notice


def test_a_file_of_a_newer_version_is_left_alone(store: MeasuredStore, tmp_path: Path) -> None:
    newer = '{"version": 2, "speeds": []}'
    (tmp_path / FILE).write_text(newer)
    tell(store, 10.0)
    assert store.look_up(MODEL, MACHINE) is None
    assert (tmp_path / FILE).read_text() == newer
    assert not store.notice


def test_where_nothing_can_be_written_nothing_is_raised(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    store = MeasuredStore(tmp_path / "file" / FILE)
    tell(store, 10.0)
    assert store.look_up(MODEL, MACHINE) is None
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / FILE).mkdir()
    store = MeasuredStore(tmp_path / "folder" / FILE)
    tell(store, 10.0)
    assert store.look_up(MODEL, MACHINE) is None
    assert not store.save_calibration(MACHINE, MachineFigures(1e9, 1e9, source="measured", layer_s=0.0))


def test_what_another_process_wrote_is_seen(store: MeasuredStore) -> None:
    tell(store, 10.0)
    other = MeasuredStore(store._path)
    assert speed_of(other) == 10.0
    store.record(MODEL, MACHINE, prompt=None, answer=20.0, mode="gpu")
    assert speed_of(other, "gpu") == 20.0


def _write_many(path: Path, name: str) -> None:
    store = MeasuredStore(path)
    for number in range(20):
        store.record(f"{name} {number}", MACHINE, prompt=None, answer=10.0)


def test_two_processes_that_write_at_once_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / FILE
    start = multiprocessing.get_context("spawn").Process
    writers = [start(target=_write_many, args=(path, name)) for name in ("first", "second")]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
        assert writer.exitcode == 0
    store = MeasuredStore(path)
    missing = [
        (name, number)
        for name in ("first", "second")
        for number in range(20)
        if store.look_up(f"{name} {number}", MACHINE) is None
    ]
    assert not missing
