"""All probes together: what this machine says, what a sick one says, and the time it takes."""

import os
import sys
import threading
import time
from pathlib import Path

from tests.machine.programs import nvml_library, program
from tests.machine.recorded import lay_out, sample, samples
from whisper_desktop.machine import detect_resources
from whisper_desktop.machine.detect import Probe, assemble, one_source_for_each_vendor, within_ram
from whisper_desktop.machine.findings import Gpus, Memory
from whisper_desktop.values import Deadlines, GpuInfo

GIB = 2**30


def test_this_machine_is_read_completely() -> None:
    found = detect_resources()
    assert found.os_name in ("Linux", "macOS", "Windows")
    assert 0 < found.ram_available_bytes <= found.ram_total_bytes
    assert 1 <= found.cores_physical <= found.cores_logical <= (os.cpu_count() or 1)
    assert found.cpu_name
    assert found.memory_gb == found.ram_total_bytes / GIB


def test_a_whole_computer_from_files(tmp_path: Path) -> None:
    files = {
        "/proc/meminfo": sample("linux", "meminfo_dgx_spark"),
        "/proc/cpuinfo": sample("linux", "cpuinfo_epyc"),
        "/etc/os-release": sample("linux", "os_release_debian"),
        "/dev/nvidiactl": "",
    }
    for address, name in (("0000:01:00.0", "nvidia_nouveau"), ("0000:02:00.0", "amd_radeon_8060s")):
        folder = f"/sys/bus/pci/devices/{address}"
        files |= {f"{folder}/{file}": text for file, text in samples("linux_gpus")[name].files.items()}
    program(tmp_path, "nvidia-smi", f"cat <<'END'\n{sample('nvidia', 'gb10')}END")
    found = detect_resources(
        deadlines=Deadlines().scaled(10),
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
        root=lay_out(tmp_path / "root", files),
    )
    ram, free = 127600748 * 1024, 118566368 * 1024
    assert (found.ram_total_bytes, found.ram_available_bytes) == (ram, free)
    amd, nvidia = found.gpus
    # NVIDIA's unified chip may use all of the RAM; AMD's share was set above the RAM and is cut to it.
    assert (nvidia.name, nvidia.total_bytes, nvidia.free_bytes) == ("NVIDIA GB10", ram, free)
    assert (amd.unified, amd.total_bytes, amd.free_bytes) == (True, ram, free)
    assert (found.os_version, found.has_display) == ("Debian GNU/Linux 12 (bookworm)", False)
    assert found.warnings == ()


def test_a_vendors_hanging_tools_cost_the_time_limit_and_a_sentence_not_the_rest(tmp_path: Path) -> None:
    program(tmp_path, "nvidia-smi", "exec sleep 1000")
    library = nvml_library(tmp_path, init="for (;;) pause();")
    files = {"/proc/meminfo": sample("linux", "meminfo_virtual_machine"), "/dev/nvidiactl": ""}
    started = time.monotonic()
    found = detect_resources(
        deadlines=Deadlines(machine_probe=2.0),
        env={"PATH": f"{tmp_path}:/usr/bin:/bin", "LD_LIBRARY_PATH": str(library)},
        root=lay_out(tmp_path / "root", files),
    )
    # A test of the deadline: 2 s, and as much again for a busy machine.
    assert time.monotonic() - started < 4.0
    assert found.ram_total_bytes == 24684096 * 1024
    assert found.gpus == ()
    assert any("NVIDIA" in warning for warning in found.warnings)


def test_an_empty_computer_has_sentences_and_no_crash(tmp_path: Path) -> None:
    found = detect_resources(env={"PATH": str(tmp_path)}, root=tmp_path)
    assert (found.ram_total_bytes, found.gpus) == (0, ())
    assert found.warnings == ("The memory is not told by /proc/meminfo.",)


def test_a_probe_that_never_returns_is_left_behind() -> None:
    forever = threading.Event()
    probe = Probe("The moon", forever.wait)
    assert probe.result(time.monotonic(), 2.0) == (None, ("The moon could not be read within 2 s.",))
    forever.set()


def test_a_probe_that_breaks_is_a_sentence() -> None:
    def broken() -> None:
        raise ZeroDivisionError("no figures")

    value, warnings = Probe("The moon", broken).result(time.monotonic() + 30, 30)
    assert (value, warnings) == (None, ("The moon could not be read: no figures.",))


def test_what_no_probe_told_is_none_or_the_least() -> None:
    found = assemble((None, ()), (None, ("a",)), (None, ("b", "a")), [(None, ("c",)), (Gpus(), ())])
    assert (found.ram_total_bytes, found.cores_physical, found.gpus) == (0, 1, ())
    assert found.warnings == ("a", "b", "c")


def test_one_card_from_two_sources_counts_once_and_two_equal_cards_count_twice() -> None:
    def card(source: str, vendor: str = "NVIDIA", total: int | None = 8 * GIB) -> GpuInfo:
        return GpuInfo(vendor, f"{vendor} card", total, source=source)

    cards = one_source_for_each_vendor(
        [
            (card("registry"), card("registry", "Intel"), card("registry")),
            (card("nvml"), card("nvml")),
            (card("sysfs", total=None),),
        ]
    )
    assert [(card.vendor, card.source) for card in cards] == [
        ("Intel", "registry"),
        ("NVIDIA", "nvml"),
        ("NVIDIA", "nvml"),
    ]


def test_unified_graphics_never_exceed_a_containers_limit() -> None:
    apu = GpuInfo("AMD", "AMD 780M", 20 * GIB, 18 * GIB, unified=True, source="sysfs")
    inside = within_ram(apu, Memory(4 * GIB, 3 * GIB, limit=4 * GIB))
    assert (inside.total_bytes, inside.free_bytes) == (4 * GIB, 3 * GIB)


def test_a_carve_out_counts_to_the_graphics_although_programs_do_not_see_it() -> None:
    apu = GpuInfo("AMD", "AMD 8060S", 100 * GIB, 90 * GIB, unified=True, source="sysfs")
    # 128 GiB were bought, 96 of them were given to the graphics.
    found = within_ram(apu, Memory(32 * GIB, 20 * GIB, installed=128 * GIB))
    assert (found.total_bytes, found.free_bytes) == (100 * GIB, 90 * GIB)


def test_unknown_memory_of_other_graphics_stays_unknown() -> None:
    intel = GpuInfo("Intel", "Intel UHD", None, unified=True, source="sysfs")
    assert within_ram(intel, Memory(16 * GIB, 8 * GIB)) == intel


def test_importing_the_room_loads_nothing_heavy() -> None:
    script = (
        "import sys, whisper_desktop.machine.display as d, whisper_desktop.machine as m\n"
        "heavy = {'psutil', 'pynvml', 'subprocess', 'ctypes'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "m.detect_resources()\n"
        "heavy = {'psutil', 'pynvml', 'httpx'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    import subprocess

    assert subprocess.run([sys.executable, "-c", script], timeout=60, check=False).returncode == 0
