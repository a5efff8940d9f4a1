"""How long to wait, in all forms in which servers say it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whisper_desktop.wire.retry_after import retry_after, seconds_in

DATE = "Sat, 21 Nov 2026 10:00:00 GMT"
EPOCH = 1_795_255_200  # the same moment


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "2"}, 2.0),
        ({"retry-after": " 0.5 "}, 0.5),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after": "1m30s"}, 90.0),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after-ms": "3600000"}, 3600.0),
        ({"retry-after-ms": "-1", "retry-after": "9"}, 9.0),
        ({"x-ms-retry-after-ms": "250"}, 0.25),
        ({"retry-after": "Sat, 21 Nov 2026 10:01:00 GMT", "date": DATE}, 60.0),
        ({"retry-after": "Sat, 21 Nov 2026 10:01:00 -0000", "date": DATE}, 60.0),
        ({"retry-after": "Sat, 21 Nov 2026 09:00:00 GMT", "date": DATE}, None),
        ({"retry-after": "Sat, 21 Nov 2026 10:01:00 GMT"}, None),
        ({"retry-after": "Sat, 21 Nov 2026 10:01:00 GMT", "date": "yesterday"}, None),
        ({"retry-after": "999999999"}, 86400.0),
        ({"retry-after": str(EPOCH + 30), "date": DATE}, 30.0),
        ({"retry-after": str(EPOCH + 30)}, None),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "1e400", "date": DATE}, None),
        ({"retry-after": "abc"}, None),
        ({"retry-after": ""}, None),
        ({}, None),
        ({"x-ratelimit-reset": "20"}, 20.0),
        ({"x-ratelimit-reset": "120ms"}, 0.12),
        ({"x-ratelimit-reset": str(EPOCH + 30), "date": DATE}, 30.0),
        ({"x-ratelimit-reset": str((EPOCH + 30) * 1000), "date": DATE}, 30.0),
        ({"x-ratelimit-reset": str((EPOCH - 30) * 1000), "date": DATE}, None),
        ({"x-ratelimit-reset": "2026-11-21T10:00:30Z", "date": DATE}, 30.0),
        ({"ratelimit-reset": "5"}, 5.0),
        ({"x-ratelimit-reset-requests": "1s", "x-ratelimit-reset-tokens": "6m0s"}, 1.0),
        (
            {
                "x-ratelimit-reset-requests": "1s",
                "x-ratelimit-remaining-requests": "7",
                "x-ratelimit-reset-tokens": "6m0s",
                "x-ratelimit-remaining-tokens": "0",
            },
            360.0,
        ),
        ({"retry-after": "2", "x-ratelimit-reset": "20"}, 2.0),
        ({"retry-after": "abc", "x-ratelimit-reset": "20"}, 20.0),
    ],
)
def test_a_wait_is_read_in_all_its_forms(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers) == pytest.approx(seconds)


def test_a_reset_time_says_nothing_where_no_limit_was_met() -> None:
    assert retry_after({"x-ratelimit-reset": "20"}, limited=False) is None
    assert retry_after({"x-ratelimit-reset": "20", "retry-after": "2"}, limited=False) == 2


@pytest.mark.parametrize(
    ("value", "seconds"), [(37, 37.0), (0.5, 0.5), (True, None), (None, None), ([], None)]
)
def test_a_wait_inside_a_body_may_be_a_number(value: object, seconds: float | None) -> None:
    assert seconds_in(value) == seconds


numbers = st.floats().map(str) | st.integers().map(str)
durations = st.from_regex(r"[0-9]{1,12}(\.[0-9]{1,12})?(ms|s|m|h|d)", fullmatch=True)


@given(
    st.dictionaries(
        st.sampled_from(
            ["retry-after", "retry-after-ms", "x-ratelimit-reset", "x-ratelimit-remaining", "date"]
        ),
        st.text(max_size=40) | numbers | durations | st.datetimes().map(str) | st.just(DATE),
    )
)
def test_whatever_a_server_says_is_a_wait_of_at_most_a_day_or_nothing(headers: dict[str, str]) -> None:
    seconds = retry_after(headers)
    assert seconds is None or 0 <= seconds <= 86_400


@given(st.integers() | st.floats() | st.text(max_size=40))
def test_whatever_stands_in_a_body_is_one_too(value: object) -> None:
    seconds = seconds_in(value)
    assert seconds is None or 0 <= seconds <= 86_400
