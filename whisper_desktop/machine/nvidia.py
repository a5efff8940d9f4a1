"""NVIDIA graphics: NVML first, `nvidia-smi` where NVML does not answer.

Both come with the driver. NVML takes milliseconds but sits in a library that may hang; `nvidia-smi` is a
program that exists everywhere the driver does. The second is started only when the first has failed or is
slow, and runs beside it, so that both together stay within one time limit.
"""

import json
import queue
import threading
import time
from collections.abc import Callable
from pathlib import Path

from whisper_desktop.language import listed, tr
from whisper_desktop.machine import linux_gpus
from whisper_desktop.machine.child import own_child
from whisper_desktop.machine.findings import Gpus, ProbeFailed
from whisper_desktop.machine.host import Host
from whisper_desktop.values import GpuInfo

MIB = 2**20
_FIELDS = ("name", "memory.total", "memory.free", "driver_version")
_OLD_FIELDS = ("name", "memory.total")
# How nvidia-smi says that a figure does not exist on this hardware, as opposed to "[GPU is lost]" and the
# like.
_NOT_SUPPORTED = ("[n/a]", "n/a", "[not supported]", "not supported")
_HEAD_START = 0.4

_SMI_PLACES = ("/usr/bin/nvidia-smi", "/usr/lib/wsl/lib/nvidia-smi", r"C:\Windows\System32\nvidia-smi.exe")
_SIGNS = ("/dev/nvidiactl", "/dev/dxg", "/dev/nvgpu", "/dev/nvhost-gpu", "/proc/driver/nvidia/version")
_WINDOWS_SIGN = r"C:\Windows\System32\nvml.dll"


def read_gpus(host: Host, timeout: float) -> Gpus:
    """All NVIDIA cards, within `timeout` seconds. Nothing is started where nothing hints at NVIDIA."""
    on_bus = tuple(card for card in linux_gpus.read_pci(host) if card.vendor == linux_gpus.NVIDIA)
    smi = host.program("nvidia-smi", *_SMI_PLACES)
    if not (smi or any(map(host.exists, _SIGNS)) or Path(_WINDOWS_SIGN).exists()):
        return _without_driver(host, on_bus)
    answer = _first_good(_sources(host, smi), timeout)
    if isinstance(answer, Gpus):
        return answer
    if not answer:
        return _without_driver(host, on_bus)
    reasons = listed(answer)
    cards = tuple(_silent_card(host, card) for card in on_bus)
    warning = tr(
        "NVIDIA's driver could not be asked: {reasons}. If this computer has an NVIDIA "
        "graphics card, it is not counted until its driver works again; restarting or "
        "updating the driver usually helps.",
        reasons=reasons,
    )
    return Gpus(cards, (warning,))


Source = tuple[str, Callable[[float], Gpus]]


def _sources(host: Host, smi: str | None) -> list[Source]:
    sources: list[Source] = [
        ("NVML", lambda timeout: parse_nvml(host.run(own_child("nvml"), timeout=timeout).text))
    ]
    if smi:
        sources.append(("nvidia-smi", lambda timeout: _ask_smi(host, smi, timeout)))
    return sources


def _first_good(sources: list[Source], timeout: float) -> Gpus | list[str]:
    """The answer of the first source that has cards, or what went wrong with each of them.

    Each source is started when the one before has failed, or after its head start; all end at the same time.
    """
    until = time.monotonic() + timeout
    answers: queue.SimpleQueue[Gpus | str] = queue.SimpleQueue()

    def ask(name: str, source: Callable[[float], Gpus]) -> None:
        try:
            answers.put(source(until - time.monotonic()))
        except ProbeFailed as failure:
            answers.put(f"{name} {failure}")

    reasons: list[str] = []
    waiting = list(sources)
    running = 0
    while waiting or running:
        if waiting:
            name, source = waiting.pop(0)
            threading.Thread(target=ask, args=(name, source), daemon=True, name=f"machine-{name}").start()
            running += 1
        patience = timeout * _HEAD_START if waiting else max(0.0, until - time.monotonic()) + 0.3
        try:
            answer = answers.get(timeout=patience)
        except queue.Empty:
            if not waiting:
                break
            continue
        running -= 1
        if isinstance(answer, str):
            reasons.append(answer)
        elif answer.cards:
            return answer
    if running:
        reasons.append(tr("it did not answer in time"))
    return reasons


def parse_nvml(text: str) -> Gpus:
    """The JSON that `nvml` prints. Raises `ProbeFailed` for anything else."""
    try:
        answer = json.loads(text)
        if "error" in answer:
            raise ProbeFailed(tr("says: {one_line}", one_line=one_line(str(answer["error"]))))
        cards = tuple(
            GpuInfo(
                "NVIDIA",
                str(gpu["name"]),
                _bytes(gpu.get("total")),
                _bytes(gpu.get("free")),
                unified=gpu["unified"] is True,
                driver=str(answer["driver"]),
                source="nvml",
            )
            for gpu in answer["gpus"]
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ProbeFailed(tr("ended without an answer")) from None
    return Gpus(cards)


def _bytes(value: object) -> int | None:
    return value if isinstance(value, int) and value > 0 else None


def _ask_smi(host: Host, smi: str, timeout: float) -> Gpus:
    until = time.monotonic() + timeout
    for fields in (_FIELDS, _OLD_FIELDS):
        command = (smi, f"--query-gpu={','.join(fields)}", "--format=csv,noheader,nounits")
        output = host.run(command, timeout=until - time.monotonic())
        if "is not a valid field to query" not in output.text:
            break
    if output.code != 0:
        said = one_line(output.text) or tr("ended with code {code}", code=output.code)
        raise ProbeFailed(tr("says: {said}", said=said) if output.text.strip() else said)
    return parse_smi(output.text)


def parse_smi(text: str) -> Gpus:
    """The rows of `nvidia-smi --query-gpu=... --format=csv,noheader,nounits`; memory is in MiB there.

    Raises `ProbeFailed` where a row is not such a row. No rows are no cards.
    """
    cards = []
    for line in text.splitlines():
        fields = [field.strip() for field in line.split(",")]
        if not any(fields):
            continue
        if len(fields) not in (len(_FIELDS), len(_OLD_FIELDS)) or not _is_figure(fields[1]):
            raise ProbeFailed(tr("answered something that is not a list of graphics cards"))
        name, total, free, driver = (*fields, "", "")[:4]
        cards.append(
            GpuInfo(
                "NVIDIA",
                name,
                _mib(total),
                _mib(free),
                unified=total.lower() in _NOT_SUPPORTED,
                driver=driver or None,
                source="nvidia-smi",
            )
        )
    return Gpus(tuple(cards))


def _is_figure(field: str) -> bool:
    is_remark = field.startswith("[") and field.endswith("]")
    return field.isdecimal() or field.lower() in _NOT_SUPPORTED or is_remark


def _mib(field: str) -> int | None:
    return int(field) * MIB if field.isdecimal() else None


def one_line(text: str, limit: int = 160) -> str:
    """The first line of what a tool said, as part of a sentence of ours."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    printable = "".join(char for char in (lines[0] if lines else "") if char.isprintable())
    return printable[:limit].rstrip(". ")


def _without_driver(host: Host, on_bus: tuple[linux_gpus.PciGraphics, ...]) -> Gpus:
    jetson = _jetson(host)
    if jetson:
        return Gpus((jetson,))
    if not on_bus:
        return Gpus()
    cards = tuple(_silent_card(host, card) for card in on_bus)
    names = ", ".join(card.name for card in cards)
    return Gpus(
        cards,
        (
            tr(
                "{names} is built in, but NVIDIA's driver is not here, so no model can use it. "
                "Install NVIDIA's driver; in a container, pass the card through with --gpus all.",
                names=names,
            ),
        ),
    )


def _silent_card(host: Host, card: linux_gpus.PciGraphics) -> GpuInfo:
    """A card that the bus shows but whose driver says nothing: its memory is unknown."""
    return GpuInfo("NVIDIA", linux_gpus.marketing_name(host, card), None, driver=card.driver, source="sysfs")


def _jetson(host: Host) -> GpuInfo | None:
    """A Jetson board, whose older systems have neither NVML nor nvidia-smi; its GPU shares the RAM."""
    model = (host.text("/proc/device-tree/model") or "").rstrip("\0")
    return GpuInfo("NVIDIA", model, None, unified=True, source="device-tree") if "Jetson" in model else None
