"""Asks NVIDIA's driver library (NVML) what it has, and prints the answer as JSON. Runs in a process of its
own.

NVML is loaded into the process that asks. A broken driver can block or crash inside it, where neither a
time limit nor an `except` reaches, so the asking is done by a child that can be killed. This file is run by
its path and imports nothing of ours, so that the child starts in a few milliseconds and needs nothing
installed but pynvml.

Prints {"driver": "580.95", "gpus": [{"name": ..., "total": bytes|null, "free": bytes|null, "unified":
bool}]}, an empty list where there is no such library, or {"error": "..."} where it is there and cannot be
used.
"""

import json
import sys
import warnings


def query() -> dict[str, object]:
    """All NVIDIA cards. "unified" marks one that says that it has no memory of its own (GB10, Jetson)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pynvml

    def text(value: object) -> str:
        return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        if error.value == pynvml.NVML_ERROR_LIBRARY_NOT_FOUND:
            return {"driver": None, "gpus": []}
        return {"error": str(error)}
    gpus = []
    for index in range(pynvml.nvmlDeviceGetCount()):
        try:
            handle = pynvml.nvmlDeviceGetHandleByIndex(index)
            gpu: dict[str, object] = {"name": text(pynvml.nvmlDeviceGetName(handle)), "unified": False}
        except pynvml.NVMLError:
            continue  # A card that has fallen off the bus: the others still count.
        try:
            memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
            gpu |= {"total": int(memory.total), "free": int(memory.free)}
        except pynvml.NVMLError as error:
            gpu["unified"] = error.value == pynvml.NVML_ERROR_NOT_SUPPORTED
        gpus.append(gpu)
    return {"driver": text(pynvml.nvmlSystemGetDriverVersion()), "gpus": gpus}


def main() -> int:
    """Print the answer; 0 even for an answer that says why there is none."""
    try:
        answer = query()
    except Exception as error:  # The parent must get a sentence, whatever the library did.
        answer = {"error": str(error) or type(error).__name__}
    json.dump(answer, sys.stdout)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
