"""Which build is right for a computer, on the lists that llama.cpp has really published."""

from dataclasses import replace

import pytest

from tests.engines.builds.listings import NAMES, listed
from whisper_desktop.engines.builds.assets import Choice, best_choices, named_choice, variants
from whisper_desktop.engines.builds.releases import Release, parse_releases
from whisper_desktop.values import GIB, GpuInfo, Reach, ResourceInfo


def releases(*tags: str) -> tuple[Release, ...]:
    return parse_releases([listed(tag) for tag in tags], Reach.CLOUD)


def computer(os_name: str, arch: str, *gpus: GpuInfo) -> ResourceInfo:
    return ResourceInfo(os_name, "", arch, "", 4, 8, 16 * GIB, 8 * GIB, gpus=gpus)


def card(vendor: str, name: str, driver: str | None = None) -> GpuInfo:
    return GpuInfo(vendor, name, 8 * GIB, driver=driver)


RTX = card("NVIDIA", "NVIDIA GeForce RTX 4090", "580.65.06")
RTX_OLDER_DRIVER = replace(RTX, driver="550.90.07")
RTX_OLD_DRIVER = replace(RTX, driver="470.256.02")
RTX_NO_DRIVER = replace(RTX, driver=None)
PASCAL = card("NVIDIA", "NVIDIA GeForce GTX 1080", "580.65.06")
H200 = card("NVIDIA", "NVIDIA H200", "580.95.05")
TURING = card("NVIDIA", "NVIDIA GeForce GTX 1650", "581.15")
RADEON = card("AMD", "AMD Radeon RX 7900 XTX", "amdgpu")
ARC = card("Intel", "Intel Arc A770", "xe")
APPLE = card("Apple", "Apple M2")


def names(tag: str, resources: ResourceInfo) -> list[str]:
    found = best_choices(releases(tag), resources, next(iter(resources.gpus), None))
    return [choice.variant for choice in found]


@pytest.mark.parametrize(
    ("tag", "resources", "expected"),
    [
        ("b11459", computer("Linux", "x86_64"), ["cpu", "vulkan"]),
        ("b11459", computer("Linux", "x86_64", RTX), ["cuda-13.4", "vulkan", "cpu"]),
        ("b11459", computer("Linux", "x86_64", H200), ["cuda-13.4", "vulkan", "cpu"]),
        ("b11459", computer("Linux", "x86_64", RTX_OLDER_DRIVER), ["cuda-12.8", "vulkan", "cpu"]),
        ("b11459", computer("Linux", "x86_64", RTX_OLD_DRIVER), ["vulkan", "cpu"]),
        ("b11459", computer("Linux", "x86_64", RTX_NO_DRIVER), ["vulkan", "cpu"]),
        ("b11459", computer("Linux", "x86_64", PASCAL), ["cuda-12.8", "vulkan", "cpu"]),
        ("b11459", computer("Linux", "x86_64", RTX, PASCAL), ["cuda-12.8", "vulkan", "cpu"]),
        ("b11459", computer("Linux", "aarch64", H200), ["cuda-13.4", "vulkan", "cpu"]),
        ("b11459", computer("Linux", "x86_64", RADEON), ["vulkan", "cpu"]),
        ("b11459", computer("Linux", "x86_64", ARC), ["vulkan", "cpu"]),
        ("b11459", computer("Linux", "s390x"), ["cpu"]),
        ("b11459", computer("Linux", "riscv64"), []),
        ("b11459", computer("macOS", "arm64", APPLE), ["metal"]),
        ("b11459", computer("macOS", "x86_64"), ["cpu"]),
        ("b11459", computer("Windows", "AMD64", TURING), ["cuda-13.4", "vulkan", "cpu"]),
        ("b11459", computer("Windows", "AMD64", RADEON), ["vulkan", "cpu"]),
        ("b11459", computer("Windows", "ARM64"), ["cpu", "vulkan"]),
        ("b11459", computer("FreeBSD", "amd64"), []),
        ("b7902", computer("Linux", "x86_64", RTX), ["vulkan", "cpu"]),  # no CUDA for Linux then
        ("b7902", computer("Linux", "aarch64"), []),
        ("b7902", computer("Windows", "AMD64", RTX), ["cuda-13.1", "vulkan", "cpu"]),
        ("b4585", computer("Linux", "x86_64"), ["cpu", "vulkan"]),
        ("b4585", computer("Windows", "AMD64", RTX), ["cuda-12.4", "vulkan", "avx2"]),
        ("b4585", computer("macOS", "arm64", APPLE), ["metal"]),
    ],
)
def test_the_right_builds_are_offered_best_first(
    tag: str, resources: ResourceInfo, expected: list[str]
) -> None:
    assert names(tag, resources) == expected


@pytest.mark.parametrize("tag", NAMES)
@pytest.mark.parametrize("os_name", ["Linux", "Windows", "macOS"])
@pytest.mark.parametrize("arch", ["x86_64", "arm64"])
def test_an_archive_for_another_computer_is_never_offered(tag: str, os_name: str, arch: str) -> None:
    resources = computer(os_name, arch)
    marks = {"Linux": "-ubuntu-", "Windows": "-win-", "macOS": "-macos-"}
    for variant in variants(releases(tag), resources):
        choice = named_choice(releases(tag), resources, variant)
        assert choice is not None
        for archive in choice.archives:
            assert marks[os_name] in archive.name
            assert ("-x64." if arch == "x86_64" else "-arm64.") in archive.name


@pytest.mark.parametrize(
    ("tag", "os_name", "expected"),
    [
        ("b11459", "Linux", "cudart-llama-b11459-bin-ubuntu-cuda-13.4-x64.tar.gz"),
        ("b11459", "Windows", "cudart-llama-bin-win-cuda-13.4-x64.zip"),
        ("b4585", "Windows", "cudart-llama-bin-win-cu12.4-x64.zip"),
    ],
)
def test_a_cuda_build_comes_with_nvidias_libraries(tag: str, os_name: str, expected: str) -> None:
    best = best_choices(releases(tag), computer(os_name, "x86_64", RTX), RTX)[0]
    server, runtime = best.archives
    assert server.name.startswith("llama-")
    assert runtime.name == expected
    assert best.download_bytes == (server.size or 0) + (runtime.size or 0)


def test_a_cuda_build_without_nvidias_libraries_is_not_offered() -> None:
    """It would load, find no library, and use the processor without a word."""
    only = parse_releases(listed("b11459", "llama-b11459-bin-ubuntu-cuda-13.4-x64.tar.gz"), Reach.CLOUD)
    assert best_choices(only, computer("Linux", "x86_64", RTX), RTX) == ()


def test_an_archive_without_a_checksum_is_not_offered() -> None:
    entry = listed("b11459")
    for asset in entry["assets"]:
        if "vulkan" in asset["name"]:
            asset["digest"] = None
    found = best_choices(parse_releases(entry, Reach.CLOUD), computer("Linux", "x86_64", RADEON), RADEON)
    assert [choice.variant for choice in found] == ["cpu"]


def test_an_archive_that_cannot_be_unpacked_is_not_offered() -> None:
    packed = [name.replace(".tar.gz", ".tar.xz") for name in NAMES["b11459"]]
    known = parse_releases(listed("b11459", *packed), Reach.CLOUD)
    assert variants(known, computer("Linux", "x86_64")) == ()


def test_a_release_that_is_still_being_published_does_not_cost_the_graphics_card() -> None:
    begun = listed("b11500", "llama-b11500-bin-ubuntu-x64.tar.gz")
    source_only = listed("v0.6.0", "source.tar.gz")
    known = parse_releases([source_only, begun, listed("b11459")], Reach.CLOUD)
    with_card = best_choices(known, computer("Linux", "x86_64", RADEON), RADEON)
    assert [choice.name for choice in with_card] == ["b11459-vulkan", "b11500-cpu"]
    without = best_choices(known, computer("Linux", "x86_64"), None)
    assert without[0].name == "b11500-cpu"


def test_what_a_person_asks_for_is_obeyed_where_it_is_published() -> None:
    linux = computer("Linux", "x86_64", RADEON)

    def named(variant: str) -> Choice | None:
        return named_choice(releases("b11459", "b7902"), linux, variant)

    for asked, given in (("ROCm", "rocm-10.0"), ("cuda", "cuda-13.4"), ("cuda-12.8", "cuda-12.8")):
        choice = named(asked)
        assert choice is not None
        assert choice.variant == given
    assert named("metal") is None
    assert named("cud") is None
    assert named("") is None


def test_toolkits_are_compared_as_numbers() -> None:
    files = [f"{part}llama-b1-bin-ubuntu-cuda-12.{n}-x64.tar.gz" for n in (8, 10) for part in ("", "cudart-")]
    known = parse_releases(listed("b1", *files), Reach.CLOUD)
    assert best_choices(known, computer("Linux", "x86_64", PASCAL), PASCAL)[0].variant == "cuda-12.10"


def test_a_build_for_the_processor_needs_no_card_and_others_do() -> None:
    for os_name, gpu, needs in (("Linux", RTX, True), ("Linux", RADEON, True), ("macOS", APPLE, False)):
        best = best_choices(releases("b11459"), computer(os_name, "arm64", gpu), gpu)
        assert best[0].needs_card is needs
        assert best[-1].needs_card is False


def test_the_reason_names_the_card_and_what_it_is_used_through() -> None:
    cuda, vulkan, cpu = best_choices(releases("b11459"), computer("Linux", "x86_64", RTX), RTX)
    assert "RTX 4090 through CUDA 13" in cuda.reason
    assert "580.65.06" in cuda.reason
    assert "through Vulkan" in vulkan.reason
    assert "slower" in cpu.reason
