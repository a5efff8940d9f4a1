"""Machine profiles: what a file may say, and what is said of one that says something else."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.advice.machines import FILE
from whisper_desktop.advice.profiles import MAX_CHARACTERS, MachineProfile, read_profile
from whisper_desktop.errors import SettingsError
from whisper_desktop.values import GIB

LAPTOP = FILE.with_name("laptop.yaml")


def refusal(text: str) -> SettingsError:
    with pytest.raises(SettingsError) as caught:
        read_profile(text, "box.yaml")
    return caught.value


def test_a_profile_describes_a_computer_as_the_probes_would() -> None:
    profile = read_profile(LAPTOP.read_text(), "laptop.yaml")
    machine = profile.resources
    assert profile.name == "Gaming laptop"
    assert (machine.os_name, machine.arch, machine.cores_physical) == ("Windows", "x86_64", 10)
    assert machine.ram_total_bytes == 16 * GIB
    assert machine.has_display
    assert "avx2" in machine.cpu_features
    card, shared = machine.gpus
    assert (card.vendor, card.total_bytes, card.unified) == ("NVIDIA", 6 * GIB, False)
    assert (shared.vendor, shared.total_bytes, shared.unified) == ("Intel", 8 * GIB, True)


def test_json_is_a_profile_too() -> None:
    told = {"ram_gb": 64, "os": "linux", "display": False, "gpus": [{"name": "RTX 4090", "vram_gb": 24}]}
    machine = read_profile(json.dumps(told), "server.json").resources
    assert (machine.os_name, machine.has_display) == ("Linux", False)
    assert [gpu.name for gpu in machine.gpus] == ["RTX 4090"]


@pytest.mark.parametrize(("ram", "share"), [(16, 2 / 3), (64, 3 / 4)])
def test_an_apple_chip_may_take_the_share_of_memory_that_macos_gives_it(ram: int, share: float) -> None:
    machine = read_profile(f"{{os: macOS, ram_gb: {ram}, gpus: [{{name: Apple M2}}]}}", "mac.yaml").resources
    (gpu,) = machine.gpus
    assert gpu.unified
    assert gpu.total_bytes == pytest.approx(ram * GIB * share)
    assert (machine.arch, machine.cpu_name) == ("arm64", "Apple M2")


def test_what_a_shared_part_may_take_is_never_more_than_there_is() -> None:
    text = "{os: macOS, ram_gb: 8, gpus: [{name: Apple M1, vram_gb: 14}]}"
    assert read_profile(text, "mac.yaml").resources.gpus[0].total_bytes == 8 * GIB


@pytest.mark.parametrize(
    ("text", "names", "words"),
    [
        ("", "box.yaml", "no machine profile"),
        ("- 1\n- 2", "box.yaml", "no machine profile"),
        ("os: Linux", "ram_gb", "is missing"),
        ("ram_gb: much", "ram_gb", "a number from 0.25 to 4096"),
        ("ram_gb: true", "ram_gb", "a number"),
        ("ram_gb: .nan", "ram_gb", "a number"),
        ("ram_gb: -8", "ram_gb", "a number"),
        ("{ram_gb: 8, os: BeOS}", "os", "one of Windows, macOS, Linux"),
        ("{ram_gb: 8, display: maybe}", "display", "true or false"),
        ("{ram_gb: 8, gpus: RTX}", "gpus", "a list"),
        ("{ram_gb: 8, gpus: [RTX]}", "gpus[1]", "a name and vram_gb"),
        ("{ram_gb: 8, gpus: [{vram_gb: 8}]}", "gpus[1].name", "is missing"),
        ("{ram_gb: 8, gpus: [{name: RTX 4060}]}", "gpus[1].vram_gb", "is missing"),
        ("{ram_gb: 8, gpus: [{name: Wonder, vram_gb: 8}]}", "gpus[1].vendor", "is missing"),
        ("{ram_gb: 8, vram: 8}", "vram", "is not known. Known are: arch, cores"),
        ("{ram_gb: 8, gpus: [{name: RTX 4060, vram_gb: 8, vran: 8}]}", "gpus[1].vran", "is not known"),
        ("{ram_gb: 8, cores: 0}", "cores", "a number from 1"),
        ("{ram_gb: 8, name: [a]}", "name", "text"),
    ],
)
def test_what_is_wrong_in_a_profile_is_said_by_name_and_with_an_example(
    text: str, names: str, words: str
) -> None:
    error = refusal(text)
    assert names in error.title
    assert words in error.title + error.detail
    assert "`" in error.next_step
    assert error.title.endswith(".")


@pytest.mark.parametrize(
    "text", ["{ram_gb: 8, gpus: RTX}", "{ram_gb: 8, cpu_features: avx2}", "{ram_gb: 8, gpus: [RTX]}"]
)
def test_the_example_for_what_is_wrong_can_be_taken_over(text: str) -> None:
    example = refusal(text).next_step.split("`")[-2]
    read_profile(f"ram_gb: 8\n{example}", "box.yaml")


def test_a_computer_without_a_name_is_called_by_its_file() -> None:
    assert read_profile("{ram_gb: 8, name: ''}", "box.yaml").name == "box.yaml"


def test_a_file_that_is_far_too_long_is_no_profile() -> None:
    assert "too long" in refusal("ram_gb: 8\n" + "#" * MAX_CHARACTERS).title


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.dictionaries(
        st.sampled_from(["name", "os", "arch", "cpu", "cpu_features", "cores", "ram_gb", "display", "gpus"]),
        values,
    )
    | st.fixed_dictionaries({"ram_gb": st.just(16), "gpus": st.lists(values, max_size=3)})
)
def test_any_file_is_a_profile_or_is_refused_in_a_sentence(told: dict[str, object]) -> None:
    try:
        outcome: MachineProfile | str = read_profile(json.dumps(told), "any.json")
    except SettingsError as error:
        outcome = error.title
    assert isinstance(outcome, MachineProfile) or outcome.endswith(".")
