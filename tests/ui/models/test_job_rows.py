"""Downloads, sizes and times as the windows say them: values in, words out."""

from dataclasses import replace
from pathlib import Path

import pytest

from whisper_desktop.models.catalogue import load
from whisper_desktop.models.download_jobs import Job, State, WantedFile
from whisper_desktop.models.sources import Source
from whisper_desktop.ui.models.job_rows import FULL, JobRow, job_of, job_rows, summary
from whisper_desktop.ui.models.words import day_words, left_words, rate_words, so_far, without_name
from whisper_desktop.wire.progress import DownloadProgress

FILE = WantedFile("https://hub.example/m.gguf", Path("/models/m.gguf"), 2_700_000_000)
HALF = DownloadProgress(1_350_000_000, 2_700_000_000, "hub.example", "", 12_300_000.0, 110.0)
RUNNING = Job(1, Source("hub", "o/m", "m.gguf"), "m", FILE.target, "running", HALF, files=(FILE,))


def row(job: Job) -> JobRow:
    return job_rows((job,))[0]


def test_a_running_download_says_how_much_how_fast_how_long_and_from_where() -> None:
    told = row(RUNNING)
    assert told.status == "1.4 of 2.7 GB · 12.3 MB/s · about 2 min left · from hub.example"
    assert told.share == FULL // 2
    assert told.actions == {"pause", "cancel"}


def test_what_holds_it_up_is_said_in_place_of_figures() -> None:
    waiting = replace(HALF, waiting="hub.example cannot be reached. It is tried again in 4 s.")
    assert row(replace(RUNNING, progress=waiting)).status == waiting.waiting


@pytest.mark.parametrize(
    ("state", "status", "actions"),
    [
        ("waiting", "waits for its turn, 1.4 of 2.7 GB are here", {"pause", "cancel"}),
        ("paused", "paused at 1.4 of 2.7 GB", {"resume", "cancel"}),
        ("failed", "The disk is full.", {"retry", "cancel"}),
        ("done", "1.4 GB, on this computer", {"use", "folder", "remove"}),
    ],
)
def test_each_state_has_its_words_and_what_can_be_done(state: State, status: str, actions: set[str]) -> None:
    told = row(replace(RUNNING, state=state, error="The disk is full." if state == "failed" else ""))
    assert (told.status, set(told.actions)) == (status, actions)


def test_what_another_program_keeps_cannot_be_used_from_a_file() -> None:
    pulled = Job(1, Source("ollama", "qwen3:4b"), "qwen3:4b", None, "done", DownloadProgress(5, 5))
    assert row(pulled).actions == {"remove"}
    assert row(pulled).status.endswith("in Ollama")


def test_lm_studio_is_paused_in_lm_studio_alone() -> None:
    there = Job(1, Source("lm_studio", "qwen/qwen3-4b"), "qwen", None, "running", HALF)
    assert "pause" not in row(there).actions


def test_only_what_has_a_neighbour_can_be_moved_towards_it() -> None:
    first, second, third = job_rows(tuple(replace(RUNNING, id=number) for number in (1, 2, 3)))
    moves = [each.actions & {"up", "down"} for each in (first, second, third)]
    assert moves == [{"down"}, {"up", "down"}, {"up"}]


def test_what_is_done_stands_below_what_is_to_do_the_newest_first() -> None:
    states: tuple[State, ...] = ("done", "waiting", "done")
    jobs = [replace(RUNNING, id=number, state=state) for number, state in enumerate(states)]
    assert [each.id for each in job_rows(jobs)] == [1, 2, 0]


def test_the_tray_hears_of_what_runs_only() -> None:
    assert summary([RUNNING]) == "downloading 50 %"
    assert summary([RUNNING, replace(RUNNING, id=2)]) == "downloading 2 models"
    assert summary([replace(RUNNING, state="paused")]) == ""
    assert summary([replace(RUNNING, progress=DownloadProgress(5, None))]) == "downloading"


def test_a_download_is_known_by_the_catalogues_file_or_name() -> None:
    model = next(each for each in load() if each.ollama is not None)
    file = replace(FILE, target=Path("/models") / model.file.rpartition("/")[2])
    of_file = replace(RUNNING, files=(file,))
    of_ollama = Job(2, Source("ollama", model.ollama_name), model.ollama_name)
    assert job_of(model, [RUNNING, of_file]) == of_file
    assert job_of(model, [RUNNING, of_ollama]) == of_ollama
    assert job_of(model, [RUNNING]) is None


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.2, "1 s left"),
        (54, "54 s left"),
        (58, "about 1 min left"),
        (3599, "about 1 h left"),
        (7800, "about 2 h 10 min left"),
        (1e6, "more than two days left"),
    ],
)
def test_the_time_that_is_left_is_said_as_people_say_it(seconds: float, words: str) -> None:
    assert left_words(seconds) == words


def test_rates_and_sizes_have_their_units() -> None:
    assert rate_words(12_340_000) == "12.3 MB/s"
    assert rate_words(48_000) == "48 kB/s"
    assert so_far(1_200_000_000, 2_700_000_000) == "1.2 of 2.7 GB"
    assert so_far(40_000_000, 68_000_000) == "40 of 68 MB"
    assert so_far(1_200_000_000, None) == "1.2 GB"


def test_days_are_counted_from_today() -> None:
    noon = 1_700_000_000.0
    day = 86_400.0
    said = [day_words(noon - days * day, noon) for days in (0, 1, 5, 100)]
    assert said[:3] == ["today", "yesterday", "5 days ago"]
    assert said[3].startswith("2023-")


def test_below_its_name_a_model_is_not_named_again() -> None:
    assert without_name("Qwen fits in memory.", "Qwen") == "Fits in memory."
    assert without_name("It fits.", "Qwen") == "It fits."
