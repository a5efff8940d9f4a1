"""The line that shows how far a download is."""

import pytest

from whisper_desktop.cli.download_line import left_words, plain_line, progress_line, rate_words, size_words
from whisper_desktop.models.download_jobs import Job
from whisper_desktop.models.sources import Source
from whisper_desktop.wire.progress import DownloadProgress, progress

GB = 10**9


def _job(now: DownloadProgress, title: str = "Qwen3-4B-Instruct-2507-Q4_K_M") -> Job:
    return Job(1, Source("hub", "o/r"), title, state="running", progress=now)


HALF = progress(int(1.25 * GB), int(2.5 * GB), rate=48.2e6)


@pytest.mark.parametrize("width", [*range(0, 30), 40, 60, 79, 80, 120, 200])
def test_it_never_is_wider_than_the_terminal(width: int) -> None:
    for job in (
        _job(HALF),
        _job(DownloadProgress(5, None)),
        _job(DownloadProgress(5, 10, waiting="x " * 99)),
    ):
        for plain in (True, False):
            assert len(progress_line(job, "1 of 12", width, plain=plain)) <= width


def test_it_says_everything_where_there_is_room() -> None:
    line = progress_line(_job(HALF), "2 of 3", 120, plain=True)
    assert line.startswith("Qwen3-4B-Instruct-2507-Q4_K_M (2 of 3)  ###############---------------  50 %")
    assert line.endswith("1.2 of 2.5 GB  48.2 MB/s  0:26 left")


def test_the_bar_goes_first_and_the_time_left_last() -> None:
    line = progress_line(_job(HALF), "", 60, plain=True)
    assert "#" not in line
    assert "1.2 of 2.5 GB" in line
    narrow = progress_line(_job(HALF), "", 45, plain=True)
    assert "of 2.5 GB" not in narrow
    assert narrow.endswith("50 %  48.2 MB/s  0:26 left")


def test_without_a_total_there_is_no_percentage() -> None:
    line = progress_line(_job(DownloadProgress(3_000_000, None, rate=2e6)), "", 80, plain=True)
    assert "%" not in line
    assert "3 MB" in line


def test_what_it_waits_for_is_said() -> None:
    waiting = _job(DownloadProgress(1, 2, waiting="hub:443 cannot be reached. It is tried again in 4 s."))
    assert "tried again in 4 s" in progress_line(waiting, "", 120, plain=False)
    assert "tried again in 4 s" in plain_line(waiting, "")


def test_a_name_cannot_steer_the_terminal() -> None:
    assert "\x1b" not in progress_line(_job(HALF, "a\x1b[2Jb"), "", 100, plain=False)
    assert "\x1b" not in plain_line(_job(HALF, "a\x1b[2Jb"), "")


def test_plain_lines_read_as_sentences() -> None:
    assert plain_line(_job(HALF, "m"), "1 of 2") == "m (1 of 2): 50 %, 1.2 of 2.5 GB, 48.2 MB/s, 0:26 left"


def test_numbers_are_those_of_people() -> None:
    assert [left_words(each) for each in (None, 9.6, 75, 3723)] == [
        "",
        "0:10 left",
        "1:15 left",
        "1:02:03 left",
    ]
    assert [rate_words(each) for each in (None, 48_200_000, 52_000)] == ["", "48.2 MB/s", "52 kB/s"]
    assert [size_words(*each) for each in ((5, 10**5), (2 * 10**6, 10**7), (1, None))] == [
        "0 of 100 kB",
        "2 of 10 MB",
        "0 kB",
    ]
