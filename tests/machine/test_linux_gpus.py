"""AMD and Intel graphics from /sys, and NVIDIA cards without a driver."""

from pathlib import Path

import pytest

from tests.machine.recorded import lay_out, sample, samples
from whisper_desktop.machine import linux_gpus
from whisper_desktop.machine.host import Host
from whisper_desktop.values import GpuInfo

GIB = 2**30


def computer(tmp_path: Path, *cards: str, extra: dict[str, str] | None = None) -> Host:
    files = dict(extra or {})
    for number, card in enumerate(cards, start=1):
        folder = f"/sys/bus/pci/devices/0000:0{number}:00.0"
        files |= {f"{folder}/{name}": text for name, text in samples("linux_gpus")[card].files.items()}
    return Host(lay_out(tmp_path, files), {})


def only(host: Host) -> GpuInfo:
    (card,) = linux_gpus.read_gpus(host).cards
    return card


def test_an_amd_card_has_its_own_memory(tmp_path: Path) -> None:
    card = only(computer(tmp_path, "amd_rx_7900_xtx"))
    assert (card.vendor, card.unified, card.driver, card.source) == ("AMD", False, "amdgpu", "sysfs")
    assert (card.total_bytes, card.free_bytes) == (25753026560, 25753026560 - GIB)


def test_a_small_amd_card_is_not_taken_for_a_processors_graphics(tmp_path: Path) -> None:
    card = only(computer(tmp_path, "amd_rx_570"))
    assert (card.unified, card.total_bytes, card.free_bytes) == (False, 4 * GIB, None)


def test_an_amd_processors_graphics_have_their_carve_out_and_a_share_of_the_ram(tmp_path: Path) -> None:
    card = only(computer(tmp_path, "amd_radeon_8060s"))
    assert card.unified
    assert card.total_bytes == 536870912 + 137438953472
    assert card.free_bytes == card.total_bytes - 155189248 - GIB


@pytest.mark.parametrize(
    ("name", "total", "unified", "driver"),
    [
        ("intel_arc_b580_xe", 12 * GIB, False, "xe"),
        ("intel_arc_a770_i915", 17095983104, False, "i915"),
        ("intel_uhd", None, True, "i915"),
    ],
)
def test_intel(tmp_path: Path, name: str, total: int | None, unified: bool, driver: str) -> None:
    card = only(computer(tmp_path, name))
    assert (card.vendor, card.total_bytes, card.unified, card.driver) == ("Intel", total, unified, driver)


def test_a_display_of_a_virtual_machine_and_a_bridge_are_no_graphics_cards(tmp_path: Path) -> None:
    host = computer(tmp_path, "virtio_display", "intel_host_bridge")
    assert linux_gpus.read_pci(host) == ()


def test_an_nvidia_card_is_seen_on_the_bus_but_left_to_nvidias_driver(tmp_path: Path) -> None:
    host = computer(tmp_path, "nvidia_nouveau", "intel_uhd")
    assert [card.vendor for card in linux_gpus.read_gpus(host).cards] == ["Intel"]
    assert {card.driver for card in linux_gpus.read_pci(host)} == {"nouveau", "i915"}


def test_a_card_that_the_container_may_not_use_is_a_warning(tmp_path: Path) -> None:
    render_node = {"/sys/bus/pci/devices/0000:01:00.0/drm/renderD128/dev": "226:128"}
    outside = linux_gpus.read_gpus(computer(tmp_path / "out", "amd_rx_7900_xtx", extra=render_node))
    assert outside.cards == ()
    (warning,) = outside.warnings
    assert "--device /dev/dri" in warning
    inside = computer(tmp_path / "in", "amd_rx_7900_xtx", extra=render_node | {"/dev/dri/renderD128": ""})
    assert len(linux_gpus.read_gpus(inside).cards) == 1


@pytest.mark.parametrize(
    ("card", "extra", "name"),
    [
        ("amd_rx_570", {"/usr/share/libdrm/amdgpu.ids": "amdgpu_ids"}, "AMD Radeon RX 570 Series"),
        (
            "amd_radeon_8060s",
            {"/usr/share/libdrm/amdgpu.ids": "amdgpu_ids", "/usr/share/misc/pci.ids": "pci_ids"},
            "AMD Strix Halo [Radeon Graphics / Radeon 8050S Graphics / Radeon 8060S Graphics]",
        ),
        ("intel_uhd", {"/usr/share/hwdata/pci.ids": "pci_ids"}, "Intel Alder Lake-UP3 GT2 [UHD Graphics]"),
        ("intel_uhd", {}, "Intel graphics 8086:46a8"),
    ],
)
def test_a_card_has_the_name_that_a_person_knows(
    tmp_path: Path, card: str, extra: dict[str, str], name: str
) -> None:
    texts = {path: sample("linux_gpus", entry) for path, entry in extra.items()}
    assert only(computer(tmp_path, card, extra=texts)).name == name


def test_the_drivers_own_name_and_udevs_come_first(tmp_path: Path) -> None:
    extra = {
        "/run/udev/data/+pci:0000:01:00.0": "E:ID_VENDOR_FROM_DATABASE=x\nE:ID_MODEL_FROM_DATABASE=Navi 31",
        "/usr/share/misc/pci.ids": sample("linux_gpus", "pci_ids"),
    }
    assert only(computer(tmp_path / "a", "amd_rx_7900_xtx", extra=extra)).name == "AMD Navi 31"
    extra["/sys/bus/pci/devices/0000:01:00.0/product_name"] = "AMD Radeon PRO W7900"
    assert only(computer(tmp_path / "b", "amd_rx_7900_xtx", extra=extra)).name == "AMD Radeon PRO W7900"


@pytest.mark.parametrize(
    ("vram", "gtt", "is_board", "is_apu"),
    [
        (4 * GIB, 32 * GIB, True, False),  # An RX 6500 XT in a computer with much RAM.
        (4 * GIB, 32 * GIB, False, True),
        (GIB // 2, 15 * GIB, False, True),
        (8 * GIB, 64 * GIB, False, False),
        (GIB // 2, 7 * GIB, False, False),
    ],
)
def test_a_card_that_names_its_memory_or_board_is_never_a_processors_graphics(
    vram: int, gtt: int, is_board: bool, is_apu: bool
) -> None:
    figures = {"mem_info_vram_total": vram, "mem_info_gtt_total": gtt}
    assert linux_gpus.is_amd_apu(figures, is_board) is is_apu
