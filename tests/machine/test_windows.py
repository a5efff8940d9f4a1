"""Windows from registry keys that were written down; no Windows was at hand."""

import pytest

from tests.machine.recorded import samples
from whisper_desktop.machine import windows

GIB = 2**30


def test_each_adapter_that_is_present_counts_once_with_its_64_bit_memory() -> None:
    cards = windows.gpus_from(samples("windows")["desktop_with_two_adapters"].keys).cards
    assert [(card.vendor, card.name) for card in cards] == [
        ("NVIDIA", "NVIDIA GeForce RTX 4090"),
        ("Intel", "Intel(R) UHD Graphics 770"),
    ]
    nvidia, intel = cards
    assert (nvidia.total_bytes, nvidia.unified, nvidia.driver) == (25757220864, False, "32.0.15.8129")
    assert (intel.total_bytes, intel.unified) == (None, True)


def test_binary_values_are_read_and_the_32_bit_size_never_is() -> None:
    (card,) = windows.gpus_from(samples("windows")["arc_a770"].keys).cards
    assert card.name == "Intel(R) Arc(TM) A770"
    assert card.total_bytes == 0x3FBE00000
    assert not card.unified


def test_a_card_that_was_taken_out_is_not_listed() -> None:
    keys = dict(samples("windows")["desktop_with_two_adapters"].keys)
    devices = dict(keys["hardware\\devicemap\\video"])
    keys["hardware\\devicemap\\video"] = {
        name: text for name, text in devices.items() if "0001}" not in str(text)
    }
    assert [card.vendor for card in windows.gpus_from(keys).cards] == ["Intel"]


@pytest.mark.parametrize(
    ("value", "size"),
    [
        (25757220864, 25757220864),
        (bytes.fromhex("0000e0fb03000000"), 0x3FBE00000),
        (bytes.fromhex("00f0ff7f"), None),
        (0, None),
        (-1, None),
        ("25757220864", None),
        (None, None),
    ],
)
def test_memory_sizes(value: object, size: int | None) -> None:
    assert windows.memory_size(value) == size


@pytest.mark.parametrize(
    ("vendor", "name", "integrated"),
    [
        ("Intel", "Intel(R) HD Graphics 4000", True),
        ("Intel", "Intel(R) Iris(R) Xe Graphics", True),
        ("Intel", "Intel(R) Arc(TM) Graphics", True),
        ("Intel", "Intel(R) Arc(TM) 140V GPU (16GB)", True),
        ("Intel", "Intel(R) Arc(TM) A770 Graphics", False),
        ("Intel", "Intel(R) Arc(TM) Pro B60 Graphics", False),
        ("AMD", "AMD Radeon(TM) Graphics", True),
        ("AMD", "AMD Radeon 780M Graphics", True),
        ("AMD", "AMD Radeon(TM) 8060S Graphics", True),
        ("AMD", "AMD Radeon(TM) Vega 8 Graphics", True),
        ("AMD", "AMD Radeon RX 7900 XTX", False),
        ("AMD", "AMD Radeon RX 6700M", False),
        ("AMD", "AMD Radeon AI PRO R9700", False),
        ("AMD", "Radeon RX Vega", False),
        ("NVIDIA", "NVIDIA GeForce RTX 4090", False),
    ],
)
def test_integrated_graphics_are_known_by_their_names(vendor: str, name: str, integrated: bool) -> None:
    assert windows.is_integrated(vendor, name) is integrated


def test_the_processor() -> None:
    keys = samples("windows")["desktop_with_two_adapters"].keys
    cpu = windows.cpu_from(keys, physical=14, logical=20, features=("avx", "avx2"))
    assert cpu.name == "13th Gen Intel(R) Core(TM) i5-13600K"
    assert (cpu.physical, cpu.logical) == (14, 20)
    assert windows.cpu_from({}, physical=None, logical=4, features=()).physical == 4


def test_strange_registries_have_no_cards() -> None:
    devices = "hardware\\devicemap\\video"
    for values in ({}, {"\\Device\\Video0": 7}, {"\\Device\\Video0": "\\Registry\\Machine\\elsewhere"}):
        assert windows.gpus_from({devices: values}).cards == ()
    assert windows.gpus_from({}).cards == ()
