"""Graphics on Linux: AMD and Intel as their kernel drivers tell it in /sys, and NVIDIA cards that are
merely there.

No vendor tool is needed. Formats: https://docs.kernel.org/gpu/amdgpu/driver-misc.html (mem_info_*) and
https://github.com/AlexsJones/llmfit/pull/733 (where xe and i915 tell the memory of an Arc card).
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from whisper_desktop.language import tr
from whisper_desktop.machine.findings import Gpus
from whisper_desktop.machine.host import Host
from whisper_desktop.machine.linux import parse_assignments
from whisper_desktop.values import GIB, GpuInfo

NVIDIA, AMD, INTEL = "0x10de", "0x1002", "0x8086"
VENDORS: Mapping[str, str] = {NVIDIA: "NVIDIA", AMD: "AMD", INTEL: "Intel"}
"""The PCI vendors whose graphics can run a model; display chips of servers and virtual machines cannot."""

_PCI = "/sys/bus/pci/devices"
# PCI base classes: 0x03 display controller, 0x12 processing accelerator (Instinct).
_GRAPHICS_CLASSES = ("0x03", "0x12")
_PCI_IDS = ("/usr/share/misc/pci.ids", "/usr/share/hwdata/pci.ids")


@dataclass(frozen=True, slots=True)
class PciGraphics:
    """One graphics card on the PCI bus. `figures` are the driver's own numbers in bytes, by file name."""

    address: str
    vendor: str
    device: str
    revision: str = ""
    driver: str | None = None
    product: str | None = None
    figures: Mapping[str, int] | None = None
    is_board: bool = False
    is_reachable: bool = True


def read_gpus(host: Host) -> Gpus:
    """AMD and Intel graphics; a card that this container may not use is a warning, not a card."""
    found = read_pci(host)
    cards, warnings = [], []
    for card in found:
        if card.vendor == NVIDIA:
            continue
        name = marketing_name(host, card)
        if card.is_reachable:
            cards.append(gpu_from(card, name))
        else:
            warnings.append(
                tr(
                    "{name} is built in, but this program may not use it (/dev/dri is missing here), so "
                    "it is not counted. In a container, pass it through with --device /dev/dri.",
                    name=name,
                )
            )
    return Gpus(tuple(cards), tuple(warnings))


def read_pci(host: Host) -> tuple[PciGraphics, ...]:
    """Every graphics card on the bus of a vendor we know, whether or not a driver is loaded for it."""
    return tuple(_read_card(host, address) for address in host.names(_PCI) if _is_graphics(host, address))


def _is_graphics(host: Host, address: str) -> bool:
    if host.text(f"{_PCI}/{address}/vendor") not in VENDORS:
        return False
    return (host.text(f"{_PCI}/{address}/class") or "").startswith(_GRAPHICS_CLASSES)


def _read_card(host: Host, address: str) -> PciGraphics:
    folder = f"{_PCI}/{address}"
    files = host.names(folder)
    places = {name: f"{folder}/{name}" for name in files if name.startswith("mem_info_")}
    places |= {
        f"{tile}/vram": f"{folder}/{tile}/physical_vram_size_bytes"
        for tile in files
        if re.fullmatch(r"tile\d+", tile)
    }
    drm = host.names(f"{folder}/drm")
    places |= {
        f"{card}/vram": f"{folder}/drm/{card}/lmem_total_bytes"
        for card in drm
        if re.fullmatch(r"card\d+", card)
    }
    numbers = {name: host.number(place) for name, place in places.items()}
    render_nodes = [name for name in drm if name.startswith("renderD")]
    return PciGraphics(
        address=address,
        vendor=host.text(f"{folder}/vendor") or "",
        device=host.text(f"{folder}/device") or "",
        revision=host.text(f"{folder}/revision") or "",
        driver=parse_assignments(host.text(f"{folder}/uevent") or "").get("DRIVER"),
        product=host.text(f"{folder}/product_name"),
        figures={name: number for name, number in numbers.items() if number is not None},
        is_board="mem_info_vram_vendor" in files or "board_info" in files,
        is_reachable=not render_nodes or any(host.exists(f"/dev/dri/{node}") for node in render_nodes),
    )


def gpu_from(card: PciGraphics, name: str) -> GpuInfo:
    """A card as its driver describes it. Memory is None where the driver does not tell it."""
    figures = card.figures or {}
    total = free = None
    unified = False
    if card.vendor == AMD:
        unified = is_amd_apu(figures, card.is_board)
        pools = ("vram", "gtt") if unified else ("vram",)
        total = _sum(figures.get(f"mem_info_{pool}_total") for pool in pools)
        used = _sum(figures.get(f"mem_info_{pool}_used") for pool in pools)
        free = None if total is None or used is None else max(0, total - used)
    elif card.vendor == INTEL:
        # An Intel chip without memory of its own is in the processor and uses the computer's RAM.
        total = _sum(number for figure, number in figures.items() if figure.endswith("/vram"))
        unified = total is None
    return GpuInfo(VENDORS[card.vendor], name, total, free, unified, driver=card.driver, source="sysfs")


def is_amd_apu(figures: Mapping[str, int], is_board: bool) -> bool:
    """Whether an AMD chip shares the computer's RAM.

    The rule of https://github.com/ollama/ollama (discover/amd.go): a name of the memory's maker or of a board
    means a card; else a small carve-out beside a large share of RAM means a processor's graphics.
    """
    vram = figures.get("mem_info_vram_total", 0)
    gtt = figures.get("mem_info_gtt_total", 0)
    return not is_board and vram <= 4 * GIB and gtt >= 8 * GIB and gtt >= 4 * vram


def _sum(numbers: Iterable[int | None]) -> int | None:
    known = [number for number in numbers if number is not None]
    return sum(known) if known else None


# --- Names ------------------------------------------------------------------------------------------------


def marketing_name(host: Host, card: PciGraphics) -> str:
    """The name a person knows a card by, from the best list this system has; else its PCI numbers."""
    database = parse_assignments(host.text(f"/run/udev/data/+pci:{card.address}") or "")
    names = (
        card.product,
        name_in_amdgpu_ids(host.text("/usr/share/libdrm/amdgpu.ids") or "", card.device, card.revision)
        if card.vendor == AMD
        else None,
        database.get("E:ID_MODEL_FROM_DATABASE"),
        *(name_in_pci_ids(host.text(path) or "", card.vendor, card.device) for path in _PCI_IDS),
    )
    vendor = VENDORS[card.vendor]
    name = next((name for name in names if name), f"graphics {card.vendor[2:]}:{card.device[2:]}")
    return name if vendor.lower() in name.lower() else f"{vendor} {name}"


def name_in_amdgpu_ids(text: str, device: str, revision: str) -> str | None:
    """libdrm's list: "744C,	C8,	AMD Radeon RX 7900 XTX"."""
    match = re.search(rf"^{re.escape(device[2:])},\s*{re.escape(revision[2:])},\s*(\S.*)$", text, re.M | re.I)
    return match[1].strip() if match else None


def name_in_pci_ids(text: str, vendor: str, device: str) -> str | None:
    """The pci.ids list: a vendor at the start of a line, its devices below it behind one tab."""
    start = re.search(rf"^{re.escape(vendor[2:])}\s", text, re.M | re.I)
    if start is None:
        return None
    end = re.compile(r"^[0-9a-f]{4}\s", re.M | re.I).search(text, start.end())
    block = text[start.end() : end.start() if end else len(text)]
    match = re.search(rf"^\t{re.escape(device[2:])}\s+(\S.*)$", block, re.M | re.I)
    return match[1].strip() if match else None
