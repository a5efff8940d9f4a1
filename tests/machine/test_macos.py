"""macOS from recorded output. `sysctl` runs here as a program of ours that prints a recording; no Mac was
at hand.
"""

from pathlib import Path

import pytest

from tests.machine.programs import program
from tests.machine.recorded import sample
from whisper_desktop.machine import macos
from whisper_desktop.machine.findings import ProbeFailed
from whisper_desktop.machine.host import Host

GIB = 2**30


def values(name: str) -> dict[str, str]:
    return macos.parse_sysctl(sample("macos", name))


def test_apple_silicon() -> None:
    told = values("sysctl_m1_pro")
    cpu = macos.cpu_from(told)
    assert (cpu.name, cpu.physical, cpu.logical) == ("Apple M1 Pro", 10, 10)
    assert cpu.features == ("neon", "dotprod")
    assert macos.read_system(told).arch == "arm64"
    memory = macos.memory_from(told, 7 * GIB)
    assert (memory.total, memory.available, memory.installed) == (16 * GIB, 7 * GIB, 16 * GIB)


def test_an_intel_mac() -> None:
    cpu = macos.cpu_from(values("sysctl_intel"))
    assert (cpu.physical, cpu.logical, cpu.features) == (6, 12, ("avx", "avx2"))


def test_metal_says_what_the_graphics_may_use() -> None:
    (card,) = macos.parse_metal(sample("macos", "metal_m3"), values("sysctl_m1_pro"))
    assert (card.vendor, card.name, card.unified) == ("Apple", "Apple M3", True)
    assert card.total_bytes == 12713115648


def test_a_limit_above_the_ram_is_cut_to_the_ram() -> None:
    (card,) = macos.parse_metal(sample("macos", "metal_limit_above_ram"), values("sysctl_m1_pro"))
    assert card.total_bytes == 16 * GIB


def test_an_intel_mac_with_two_graphics() -> None:
    cards = macos.parse_metal(sample("macos", "metal_intel_mac"), values("sysctl_intel"))
    assert [(card.vendor, card.unified) for card in cards] == [("Intel", True), ("AMD", False)]


@pytest.mark.parametrize("text", ["", "garbage", "[]", '{"gpus": [{}]}', '{"gpus": 3}', "null"])
def test_an_answer_of_metal_that_is_none_is_told(text: str) -> None:
    with pytest.raises(ProbeFailed):
        macos.parse_metal(text, {})


def test_without_metal_the_limit_that_was_set_is_taken() -> None:
    found = macos.gpus_without_metal(values("sysctl_m1_max_with_limit"), "did not answer within 1 s")
    (card,) = found.cards
    assert (card.name, card.total_bytes, card.unified) == ("Apple M1 Max", 26000 * 2**20, True)
    assert "iogpu.wired_limit_mb" in found.warnings[0]


def test_without_metal_and_limit_the_least_that_macos_gives_is_assumed_and_said() -> None:
    found = macos.gpus_without_metal(values("sysctl_m1_pro"), "did not answer within 1 s")
    assert found.cards[0].total_bytes == 16 * GIB * 2 // 3
    assert "assumed" in found.warnings[0]


def test_without_metal_an_intel_mac_has_no_graphics_that_count() -> None:
    found = macos.gpus_without_metal(values("sysctl_intel"), "ended without an answer")
    assert found.cards == ()
    assert "not counted" in found.warnings[0]


def test_sysctl_is_asked_once_and_keys_it_does_not_know_are_left_out(tmp_path: Path) -> None:
    text = sample("macos", "sysctl_intel")
    program(tmp_path, "sysctl", f"cat <<'END'\n{text}END\necho 'unknown oid' >&2\nexit 1")
    told = macos.read_sysctl(Host(env={"PATH": f"{tmp_path}:/usr/bin:/bin"}), timeout=20)
    assert told == values("sysctl_intel")


def test_the_metal_child_says_why_it_has_no_answer_where_there_is_no_metal() -> None:
    found = macos.read_gpus(Host(), values("sysctl_m1_pro"), timeout=20)
    assert [card.source for card in found.cards] == ["sysctl"]
    assert "CoreGraphics" in found.warnings[0]
