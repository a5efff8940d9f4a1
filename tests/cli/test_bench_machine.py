"""`bench machine` in this process, with a smaller model: what it prints, what it keeps, how it fails."""

import json

import pytest
from click.testing import CliRunner

from tests.cli.program import Program, Result, engines_of
from whisper_desktop.cli.bench import bench, show
from whisper_desktop.cli.running import Failed
from whisper_desktop.engines.bench import Benchmark, Compared
from whisper_desktop.machine import detect_resources
from whisper_desktop.machine.figures import MachineFigures
from whisper_desktop.models.calibration import Rate, Timing
from whisper_desktop.models.measured import FILE, MeasuredStore, machine_key
from whisper_desktop.models.speed import Speed


def run_bench(program: Program, *args: str) -> Result:
    done = CliRunner().invoke(bench, ["machine", *args], env=program.env)
    assert done.exception is None or isinstance(done.exception, Failed | SystemExit), done.exception
    return Result(done.exit_code, done.stdout_bytes, done.stderr)


def test_it_prints_what_was_measured_and_keeps_it_unless_it_was_disturbed(program: Program) -> None:
    told = run_bench(program, "--layers", "1", "--limit", "20", "--json").json
    assert told["host"]["source"] == "measured"
    assert [each["model"] for each in told["models"]] == ["synthetic model", "guide"]
    for each in told["models"]:
        assert each["answer"]["tokens_per_second"] > 0
        assert each["predicted"]["low"] < each["predicted"]["answer"] < each["predicted"]["high"]
    assert {each["busy"] for each in told["trials"]} == {True, False}
    assert told["threads"] in {each["threads"] for each in told["trials"]}
    kept = MeasuredStore(program.home / "data" / FILE).calibration(machine_key(detect_resources()))
    assert (kept is not None) == told["kept"]
    if kept is not None:
        assert round(kept.host_bandwidth) == told["host"]["bandwidth"]
    assert not list((program.home / "cache").glob("bench-*"))


FAST, SLOW = Rate(33.3, 0.02, 3, 30), Rate(1.0, 0.0, 0, 8)


def benchmark(*, disturbed: bool) -> Benchmark:
    quiet = Timing("synthetic model", 2, FAST, Rate(45.0, 0.01, 3, 40))
    return Benchmark(
        figures=MachineFigures(31.5e9, 0.12e12, layer_s=0.00004, source="measured"),
        compared=(Compared(quiet, Speed(40.0, 20.0, 10.0, 50.0)),),
        trials=(quiet, Timing("synthetic model", 2, SLOW, busy=True)),
        threads=1,
        warnings=("Other programs were using 1.2 processor cores.",) if disturbed else (),
        disturbed=disturbed,
        seconds=61.4,
    )


def test_a_person_reads_what_was_measured_beside_what_was_predicted(
    capsys: pytest.CaptureFixture[str],
) -> None:
    show(benchmark(disturbed=False), kept=True)
    told = capsys.readouterr().out
    assert "Measured in 61 s" in told
    assert "31.5 GB/s" in told
    assert "120 GFLOP/s" in told
    assert "33.3 (within 2%)" in told
    assert "20.0 (10.0 to 50.0)" in told
    assert "beside a busy core  below 1.0" in told
    assert "Best on the whole: 1 thread." in told
    assert "The advice goes by this from now on." in told


def test_it_is_said_when_something_disturbed_it_too_much(capsys: pytest.CaptureFixture[str]) -> None:
    show(benchmark(disturbed=True), kept=False)
    told = capsys.readouterr().out
    assert "1.2 processor cores" in told
    assert "this is not kept" in told
    assert "The advice goes by" not in told


def test_it_is_said_when_it_cannot_be_kept(capsys: pytest.CaptureFixture[str]) -> None:
    show(benchmark(disturbed=False), kept=False)
    told = capsys.readouterr()
    assert "31.5 GB/s" in told.out
    assert f"{FILE}, so the advice does not go by it" in told.err
    assert "The advice goes by this" not in told.out


def test_a_folder_that_cannot_be_written_to_is_told(program: Program) -> None:
    program.home.mkdir(exist_ok=True)
    (program.home / "cache").write_text("in the way")
    failed = run_bench(program, "--layers", "1", "--json")
    assert failed.code != 0
    assert "cache" in json.dumps(failed.json["error"])


def test_ctrl_c_ends_it_at_once_and_leaves_nothing_behind(program: Program) -> None:
    running = program.terminal("bench", "machine", "--layers", "1")
    running.expect("Timing the synthetic model")
    running.type("\x03")
    assert running.wait() == 130
    assert "Traceback" not in running.rest()
    assert not list((program.home / "cache").glob("bench-*"))
    assert not engines_of(program.home)
    assert not list((program.home / "run").glob("engine-*"))
