"""Programs that stand in for a vendor's tools: real processes found on PATH."""

import os
import subprocess
from pathlib import Path


def program(folder: Path, name: str, script: str) -> Path:
    """A shell script called `name`."""
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n", "utf-8")
    path.chmod(0o755)
    return path


def is_running(pid: int) -> bool:
    """Whether a process lives; one that has ended and waits to be reaped does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text("utf-8").rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state != "Z"


_NVML_SOURCE = """
#include <string.h>
#include <stdlib.h>
#include <unistd.h>
typedef struct { unsigned long long total, free, used; } memory;
int nvmlInitWithFlags(unsigned flags) { %(init)s }
int nvmlInit_v2(void) { return nvmlInitWithFlags(0); }
int nvmlDeviceGetCount_v2(unsigned *count) { *count = %(count)d; return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **device) {
    *device = (void *)(long)(index + 1); return index + 1 == %(lost)d ? 15 : 0; }
int nvmlDeviceGetName(void *device, char *name, unsigned size) {
    strncpy(name, "NVIDIA Constructed Card", size); return 0; }
int nvmlDeviceGetMemoryInfo(void *device, memory *figures) {
    figures->total = 17175674880ULL; figures->free = 15623782400ULL; figures->used = 0; return %(memory)d; }
int nvmlSystemGetDriverVersion(char *version, unsigned size) {
    strncpy(version, "580.95.05", size); return 0; }
const char *nvmlErrorString(int code) { return "constructed"; }
"""


def nvml_library(
    folder: Path, *, init: str = "return 0;", count: int = 1, lost: int = 0, memory: int = 0
) -> Path:
    """A library that answers as NVIDIA's does, compiled from C; returns its folder for LD_LIBRARY_PATH.

    `init` is the body of its first function: return an error number, hang, or crash. `memory` is the error
    number of the memory query (3: not supported); `lost` is the number of a card that cannot be opened.
    """
    source = folder / "nvml.c"
    figures = {"init": init, "count": count, "lost": lost, "memory": memory}
    source.write_text(_NVML_SOURCE % figures, "utf-8")
    command = ["cc", "-shared", "-fPIC", "-o", str(folder / "libnvidia-ml.so.1"), str(source)]
    subprocess.run(command, check=True, capture_output=True, env={"PATH": os.environ["PATH"]})
    return folder
