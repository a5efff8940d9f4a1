"""Linux: memory, container limits, processor, distribution."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.machine.recorded import lay_out, sample
from whisper_desktop.machine import linux
from whisper_desktop.machine.findings import ProbeFailed
from whisper_desktop.machine.host import Host

KIB = 1024
GIB = 2**30
SCOPE = "user.slice/user-1000.slice/user@1000.service/app.slice/whisper.scope"


def host(tmp_path: Path, files: dict[str, str]) -> Host:
    return Host(lay_out(tmp_path, files), {})


def test_memory_is_what_meminfo_says(tmp_path: Path) -> None:
    memory = linux.read_memory(host(tmp_path, {"/proc/meminfo": sample("linux", "meminfo_virtual_machine")}))
    assert (memory.total, memory.available) == (24684096 * KIB, 23733500 * KIB)
    assert memory.limit is None


def test_a_kernel_without_memavailable_counts_what_it_can_give_back(tmp_path: Path) -> None:
    memory = linux.read_memory(
        host(tmp_path, {"/proc/meminfo": sample("linux", "meminfo_before_kernel_3_14")})
    )
    assert memory.available == (1000000 + 200000 + 3000000) * KIB


def test_installed_memory_comes_from_the_modules_that_udev_lists(tmp_path: Path) -> None:
    files = {
        "/proc/meminfo": sample("linux", "meminfo_before_kernel_3_14"),
        "/run/udev/data/+dmi:id": sample("linux", "udev_memory_modules"),
    }
    assert linux.read_memory(host(tmp_path, files)).installed == 16 * GIB


def test_no_meminfo_is_told_not_guessed(tmp_path: Path) -> None:
    with pytest.raises(ProbeFailed, match="/proc/meminfo"):
        linux.read_memory(host(tmp_path, {}))


def test_the_smallest_limit_above_a_nested_group_holds(tmp_path: Path) -> None:
    cgroup = "/sys/fs/cgroup"
    files = {
        "/proc/meminfo": sample("linux", "meminfo_virtual_machine"),
        "/proc/self/cgroup": sample("linux", "cgroup_version_2"),
        "/run/udev/data/+dmi:id": sample("linux", "udev_memory_modules"),
        f"{cgroup}/{SCOPE}/memory.max": "max",
        f"{cgroup}/user.slice/user-1000.slice/memory.max": str(6 * GIB),
        f"{cgroup}/user.slice/user-1000.slice/memory.current": str(3 * GIB),
        f"{cgroup}/user.slice/user-1000.slice/memory.stat": f"anon 5\ninactive_file {GIB}\nactive_file 7",
        f"{cgroup}/user.slice/memory.max": str(8 * GIB),
        f"{cgroup}/user.slice/memory.current": str(7 * GIB),
    }
    memory = linux.read_memory(host(tmp_path, files))
    assert memory.total == memory.limit == 6 * GIB
    # 6 - (3 - 1) GiB are left in one group, 8 - 7 in the one above it.
    assert memory.available == GIB
    assert memory.installed is None


def test_max_and_the_largest_number_are_no_limit(tmp_path: Path) -> None:
    files = {
        "/proc/meminfo": sample("linux", "meminfo_virtual_machine"),
        "/proc/self/cgroup": sample("linux", "cgroup_version_1"),
        "/sys/fs/cgroup/memory.max": "max",
        "/sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712",
    }
    assert linux.read_memory(host(tmp_path, files)).limit is None


def test_a_version_1_limit_in_a_nested_group_holds(tmp_path: Path) -> None:
    group = "/sys/fs/cgroup/memory/process_api/1bbc96303f3bd268cf3c4fa5c331deef"
    files = {
        "/proc/meminfo": sample("linux", "meminfo_virtual_machine"),
        "/proc/self/cgroup": sample("linux", "cgroup_version_1"),
        f"{group}/memory.limit_in_bytes": str(2 * GIB),
        f"{group}/memory.usage_in_bytes": str(GIB),
        f"{group}/memory.stat": f"cache 1\ntotal_inactive_file {GIB // 2}",
    }
    memory = linux.read_memory(host(tmp_path, files))
    assert (memory.total, memory.available) == (2 * GIB, 2 * GIB - GIB // 2)


def test_a_container_that_sees_the_hosts_path_still_finds_its_own_limit(tmp_path: Path) -> None:
    files = {
        "/proc/meminfo": sample("linux", "meminfo_virtual_machine"),
        "/proc/self/cgroup": "0::/../../docker/0123456789ab",
        "/sys/fs/cgroup/memory.max": "6442450944",
    }
    assert linux.read_memory(host(tmp_path, files)).total == 6442450944


def test_a_group_that_uses_more_than_its_limit_has_nothing_left(tmp_path: Path) -> None:
    files = {
        "/proc/meminfo": sample("linux", "meminfo_virtual_machine"),
        "/sys/fs/cgroup/memory.max": str(GIB),
        "/sys/fs/cgroup/memory.current": str(2 * GIB),
    }
    assert linux.read_memory(host(tmp_path, files)).available == 0


@pytest.mark.parametrize(
    ("cpuinfo", "name", "physical", "logical", "features"),
    [
        ("cpuinfo_epyc", "AMD EPYC", 2, 2, ("avx", "avx2", "avx512f", "fma", "f16c")),
        ("cpuinfo_two_threads_a_core", "Intel(R) Core(TM) i5-2520M CPU @ 2.50GHz", 2, 4, ("avx",)),
        ("cpuinfo_raspberry_pi_5", "Raspberry Pi 5 Model B Rev 1.0", 2, 2, ("neon", "dotprod")),
    ],
)
def test_processors(
    tmp_path: Path, cpuinfo: str, name: str, physical: int, logical: int, features: tuple[str, ...]
) -> None:
    cpu = linux.read_cpu(host(tmp_path, {"/proc/cpuinfo": sample("linux", cpuinfo)}))
    assert (cpu.name, cpu.physical, cpu.logical, cpu.features) == (name, physical, logical, features)


def test_only_the_cpus_that_this_process_may_use_are_counted(tmp_path: Path) -> None:
    topology = "/sys/devices/system/cpu/cpu{}/topology/core_cpus_list"
    files = {
        "/proc/cpuinfo": sample("linux", "cpuinfo_two_threads_a_core"),
        "/proc/self/status": "Name:\tpython\nCpus_allowed:\t5\nCpus_allowed_list:\t0,2",
        "/sys/devices/system/cpu/present": "0-3",
        topology.format(0): "0,2",
        topology.format(2): "0,2",
    }
    cpu = linux.read_cpu(host(tmp_path, files))
    assert (cpu.physical, cpu.logical) == (1, 2)


@pytest.mark.parametrize(
    ("path", "content", "logical"),
    [
        ("/sys/fs/cgroup/cpu.max", "150000 100000", 2),
        ("/sys/fs/cgroup/cpu.max", "max 100000", 4),
        ("/sys/fs/cgroup/cpu.max", "50000 100000", 1),
        ("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "100000", 1),
        ("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1", 4),
    ],
)
def test_a_containers_cpu_quota_is_respected(tmp_path: Path, path: str, content: str, logical: int) -> None:
    files = {
        "/proc/cpuinfo": sample("linux", "cpuinfo_two_threads_a_core"),
        "/sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000",
        path: content,
    }
    cpu = linux.read_cpu(host(tmp_path, files))
    assert cpu.logical == logical
    assert cpu.physical == min(2, logical)


def test_without_any_file_there_is_still_one_core(tmp_path: Path) -> None:
    cpu = linux.read_cpu(host(tmp_path, {}))
    assert (cpu.physical, cpu.logical) == (1, 1)
    assert cpu.name


def test_the_distribution_and_wsl_are_named(tmp_path: Path) -> None:
    files = {
        "/etc/os-release": sample("linux", "os_release_debian"),
        "/proc/version": sample("linux", "proc_version_wsl2"),
    }
    system = linux.read_system(host(tmp_path, files))
    assert (system.name, system.version) == ("Linux", "Debian GNU/Linux 12 (bookworm) (WSL)")
    assert not system.has_display


@settings(deadline=None)
@given(st.text(max_size=300))
def test_parsers_take_any_text(text: str) -> None:
    linux.parse_meminfo(text)
    linux.parse_cgroups(text)
    linux.parse_cpuinfo(text)
    linux.parse_cpu_list(text)
    linux.parse_assignments(text)
    linux.installed_memory(text)
    assert linux.ancestors("/sys/fs/cgroup", text)[-1] == "/sys/fs/cgroup"
