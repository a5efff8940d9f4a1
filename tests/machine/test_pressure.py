"""How short memory is, and what feeds the computer."""

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.machine.recorded import lay_out, sample, samples
from whisper_desktop.machine import pressure
from whisper_desktop.machine.host import Host

KIB, GIB = 1024, 2**30


def files(tmp_path: Path, more: dict[str, str]) -> Host:
    return Host(lay_out(tmp_path, {"/proc/meminfo": sample("linux", "meminfo_virtual_machine"), **more}), {})


def test_measuring_is_cheap_enough_for_an_event_loop() -> None:
    found = pressure.measure()
    assert 0 < found.available_bytes < found.total_bytes
    times = []
    for _ in range(20):
        began = time.perf_counter()
        pressure.measure()
        times.append(time.perf_counter() - began)
    assert min(times) < 0.002  # 0.7 ms where nothing else runs


def test_stalls_are_a_share_of_the_last_ten_seconds(tmp_path: Path) -> None:
    host = files(tmp_path, {"/proc/pressure/memory": sample("linux", "psi_stalling")})
    assert pressure.measure(host).stalled == pytest.approx(0.2345)


def test_a_calm_machine_has_no_stalls(tmp_path: Path) -> None:
    host = files(tmp_path, {"/proc/pressure/memory": sample("linux", "psi_at_rest")})
    found = pressure.measure(host)
    assert (found.stalled, found.available_bytes) == (0.0, 23733500 * KIB)


def test_a_kernel_that_does_not_count_stalls_says_nothing(tmp_path: Path) -> None:
    assert pressure.measure(files(tmp_path, {})).stalled is None


def test_stalls_inside_our_own_group_count_where_the_machine_is_calm(tmp_path: Path) -> None:
    group = "/sys/fs/cgroup/user.slice/app.scope"
    host = files(
        tmp_path,
        {
            "/proc/pressure/memory": sample("linux", "psi_at_rest"),
            "/proc/self/cgroup": "0::/user.slice/app.scope",
            f"{group}/memory.pressure": sample("linux", "psi_stalling"),
            f"{group}/memory.max": str(4 * GIB),
            f"{group}/memory.current": str(3 * GIB),
        },
    )
    found = pressure.measure(host)
    assert found.stalled == pytest.approx(0.2345)
    assert (found.total_bytes, found.available_bytes) == (4 * GIB, GIB)


def test_without_meminfo_memory_is_unknown_and_the_battery_is_not(tmp_path: Path) -> None:
    host = Host(lay_out(tmp_path, samples("linux")["laptop_on_battery"].files), {})
    found = pressure.measure(host)
    assert (found.total_bytes, found.stalled, found.on_battery) == (0, None, True)


@pytest.mark.parametrize(
    ("name", "on_battery"),
    [("laptop_on_battery", True), ("laptop_charged_by_usb", False), ("desktop_with_a_mouse", None)],
)
def test_what_feeds_the_computer(tmp_path: Path, name: str, on_battery: bool | None) -> None:
    assert pressure.measure(files(tmp_path, dict(samples("linux")[name].files))).on_battery is on_battery


def test_an_uninterruptible_supply_that_discharges_is_a_battery(tmp_path: Path) -> None:
    supply = "/sys/class/power_supply/ups"
    host = files(tmp_path, {f"{supply}/type": "UPS", f"{supply}/status": "Discharging"})
    assert pressure.measure(host).on_battery is True


def test_a_computer_that_knows_only_its_cable_is_not_on_battery(tmp_path: Path) -> None:
    supply = "/sys/class/power_supply/AC"
    host = files(tmp_path, {f"{supply}/type": "Mains", f"{supply}/online": "0"})
    assert pressure.measure(host).on_battery is False


@given(st.text())
def test_any_text_in_place_of_stalls_is_read_or_left_out(text: str) -> None:
    share = pressure.stalled_share(text)
    assert share is None or 0 <= share <= 1


@given(st.floats(0, 100))
def test_every_share_that_a_kernel_prints_is_read(percent: float) -> None:
    line = f"some avg10={percent:.2f} avg60=0.00 avg300=0.00 total=1"
    assert pressure.stalled_share(line) == pytest.approx(float(f"{percent:.2f}") / 100)


@pytest.mark.parametrize(
    ("level", "short"), [(None, None), (0, None), (1, False), (2, True), (4, True), (-1, None)]
)
def test_levels_of_macos(level: int | None, short: bool | None) -> None:
    assert pressure.short_at(level) is short
