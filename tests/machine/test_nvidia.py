"""NVIDIA: what its tools print, and what they do when they are broken. The tools are real programs on PATH,
the library is a real one that the child loads."""

import contextlib
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.machine.programs import is_running, nvml_library, program
from tests.machine.recorded import lay_out, sample, samples
from whisper_desktop.machine import nvidia
from whisper_desktop.machine.findings import Gpus, ProbeFailed
from whisper_desktop.machine.host import Host

MIB = 2**20
# Long enough for a busy machine; the tests that wait for it to pass take a short one.
PATIENCE = 30.0


def nvidia_host(tmp_path: Path, *, smi: str | None = None, nvml: Path | None = None) -> Host:
    root = lay_out(tmp_path / "root", {"/dev/nvidiactl": ""})
    tools = tmp_path / "tools"
    tools.mkdir()
    if smi is not None:
        program(tools, "nvidia-smi", smi)
    env = {"PATH": f"{tools}:/usr/bin:/bin"}
    return Host(root, env | {"LD_LIBRARY_PATH": str(nvml)} if nvml else env)


def printing(name: str, code: int = 0) -> str:
    return f"cat <<'END'\n{sample('nvidia', name)}END\nexit {code}"


# --- What is printed --------------------------------------------------------------------------------------


def test_rows_of_nvidia_smi() -> None:
    first, second = nvidia.parse_smi(sample("nvidia", "two_cards")).cards
    assert (first.name, first.total_bytes, first.free_bytes) == (
        "NVIDIA GeForce RTX 5060 Ti",
        16303 * MIB,
        15120 * MIB,
    )
    assert (second.name, second.driver, second.unified) == ("NVIDIA RTX A3000 Laptop GPU", "581.29", False)


@pytest.mark.parametrize("name", ["gb10", "not_supported_before_2020"])
def test_a_chip_without_memory_of_its_own_is_unified(name: str) -> None:
    (card,) = nvidia.parse_smi(sample("nvidia", name)).cards
    assert (card.unified, card.total_bytes, card.free_bytes) == (True, None, None)


def test_a_lost_card_is_not_unified_but_unknown() -> None:
    (card,) = nvidia.parse_smi(sample("nvidia", "card_lost")).cards
    assert (card.unified, card.total_bytes) == (False, None)


@pytest.mark.parametrize("text", ["hello", "a, b", "a, 1, 2", "a, 1, 2, 3, 4", "\x00\xff, \x07"])
def test_something_that_is_no_list_of_cards_is_told(text: str) -> None:
    with pytest.raises(ProbeFailed, match="not a list of graphics cards"):
        nvidia.parse_smi(text)


def test_nvmls_answer() -> None:
    (card,) = nvidia.parse_nvml(sample("nvidia", "nvml_one_card")).cards
    assert (card.total_bytes, card.free_bytes, card.driver) == (17175674880, 15623782400, "580.95.05")
    (gb10,) = nvidia.parse_nvml(sample("nvidia", "nvml_gb10")).cards
    assert (gb10.unified, gb10.total_bytes) == (True, None)
    with pytest.raises(ProbeFailed, match="Driver Not Loaded"):
        nvidia.parse_nvml(sample("nvidia", "nvml_driver_not_loaded"))


@settings(deadline=None)
@given(st.text(max_size=200))
def test_parsers_take_any_text(text: str) -> None:
    for parse in (nvidia.parse_smi, nvidia.parse_nvml):
        with contextlib.suppress(ProbeFailed):
            assert isinstance(parse(text), Gpus)


# --- Real processes ---------------------------------------------------------------------------------------


def test_nothing_is_started_where_nothing_hints_at_nvidia(tmp_path: Path) -> None:
    assert nvidia.read_gpus(Host(tmp_path, {"PATH": str(tmp_path)}), PATIENCE) == Gpus()


def test_nvml_is_asked_in_a_process_of_its_own(tmp_path: Path) -> None:
    found = nvidia.read_gpus(nvidia_host(tmp_path, nvml=nvml_library(tmp_path, count=2)), PATIENCE)
    assert [(card.name, card.total_bytes, card.source) for card in found.cards] == [
        ("NVIDIA Constructed Card", 17175674880, "nvml")
    ] * 2
    assert found.warnings == ()
    assert "pynvml" not in sys.modules


def test_nvml_not_supported_means_unified(tmp_path: Path) -> None:
    found = nvidia.read_gpus(nvidia_host(tmp_path, nvml=nvml_library(tmp_path, memory=3)), PATIENCE)
    assert [card.unified for card in found.cards] == [True]


def test_a_card_that_fell_off_the_bus_does_not_hide_the_others(tmp_path: Path) -> None:
    found = nvidia.read_gpus(nvidia_host(tmp_path, nvml=nvml_library(tmp_path, count=2, lost=1)), PATIENCE)
    assert len(found.cards) == 1


@pytest.mark.parametrize(
    "init", ["return 9;", "abort();", "*(volatile int *)0 = 1; return 0;"], ids=["error", "abort", "segfault"]
)
def test_when_nvml_fails_or_crashes_nvidia_smi_answers(tmp_path: Path, init: str) -> None:
    host = nvidia_host(tmp_path, smi=printing("two_cards"), nvml=nvml_library(tmp_path, init=init))
    found = nvidia.read_gpus(host, PATIENCE)
    assert [card.source for card in found.cards] == ["nvidia-smi", "nvidia-smi"]
    assert found.warnings == ()


def test_when_nvml_hangs_nvidia_smi_answers_beside_it(tmp_path: Path) -> None:
    library = nvml_library(tmp_path, init="for (;;) pause();")
    found = nvidia.read_gpus(nvidia_host(tmp_path, smi=printing("gb10"), nvml=library), 5.0)
    assert [card.name for card in found.cards] == ["NVIDIA GB10"]


def test_when_both_hang_there_is_a_sentence_in_time_and_nothing_is_left_running(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    # The tool's own child would keep its output open if only the tool were ended.
    script = f"sleep 1000 &\necho $$ $! > {pids}\nwait"
    host = nvidia_host(tmp_path, smi=script, nvml=nvml_library(tmp_path, init="for (;;) pause();"))
    started = time.monotonic()
    found = nvidia.read_gpus(host, 3.0)
    # A test of the deadline: 3 s, and as much again for a busy machine.
    assert time.monotonic() - started < 6.0
    assert found.cards == ()
    assert "NVML did not answer" in found.warnings[0]
    assert "nvidia-smi did not answer" in found.warnings[0]
    tool, its_child = map(int, pids.read_text("utf-8").split())
    assert not is_running(tool)
    assert not is_running(its_child)


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (printing("driver_does_not_answer", 9), "couldn't communicate with the NVIDIA driver"),
        ("exit 9", "ended with code 9"),
        ("echo utter nonsense", "not a list of graphics cards"),
        ("head -c 100000 /dev/urandom", "not a list of graphics cards"),
        ("yes 'NVIDIA x, 1, 1, 1'", "printed without end"),
        ("kill -11 $$", "ended with code -11"),
    ],
    ids=["driver", "code", "nonsense", "random", "endless", "signal"],
)
def test_a_broken_nvidia_smi_is_a_sentence(tmp_path: Path, script: str, said: str) -> None:
    found = nvidia.read_gpus(nvidia_host(tmp_path, smi=script), PATIENCE)
    assert found.cards == ()
    (warning,) = found.warnings
    assert said in warning
    assert "\n" not in warning


def test_an_old_nvidia_smi_is_asked_again_with_fewer_fields(tmp_path: Path) -> None:
    refusal = printing("unknown_field", 2)
    script = f"case \"$1\" in *memory.free*)\n{refusal};; esac\necho 'GeForce GTX 660, 1996'"
    (card,) = nvidia.read_gpus(nvidia_host(tmp_path, smi=script), PATIENCE).cards
    assert (card.total_bytes, card.free_bytes, card.driver) == (1996 * MIB, None, None)


def test_a_tool_gets_no_keys(tmp_path: Path) -> None:
    seen = tmp_path / "environment"
    host = nvidia_host(tmp_path, smi=f"env > {seen}; echo 'a, 1, 1, 1'")
    secret = {"OPENAI_API_KEY": "sk-secret", "HTTPS_PROXY": "http://user:secret@proxy"}
    nvidia.read_gpus(Host(host.root, {**host.env, **secret}), PATIENCE)
    text = seen.read_text("utf-8")
    assert "LC_ALL=C" in text
    assert "secret" not in text


def test_a_card_without_a_driver_is_listed_with_advice(tmp_path: Path) -> None:
    files = samples("linux_gpus")["nvidia_nouveau"].files
    root = {f"/sys/bus/pci/devices/0000:01:00.0/{name}": text for name, text in files.items()}
    root["/usr/share/misc/pci.ids"] = sample("linux_gpus", "pci_ids")
    found = nvidia.read_gpus(Host(lay_out(tmp_path, root), {"PATH": str(tmp_path)}), PATIENCE)
    (card,) = found.cards
    assert (card.name, card.total_bytes) == ("NVIDIA AD102 [GeForce RTX 4090]", None)
    assert "Install NVIDIA's driver" in found.warnings[0]


def test_a_jetson_without_tools_is_known_by_its_board(tmp_path: Path) -> None:
    root = lay_out(tmp_path, {"/proc/device-tree/model": "NVIDIA Jetson AGX Orin Developer Kit\0"})
    (card,) = nvidia.read_gpus(Host(root, {"PATH": str(tmp_path)}), PATIENCE).cards
    assert (card.name, card.unified) == ("NVIDIA Jetson AGX Orin Developer Kit", True)
