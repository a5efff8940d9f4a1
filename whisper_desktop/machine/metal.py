"""Asks macOS's Metal which graphics processors there are, and prints the answer as JSON. Runs in a process
of its own.

`recommendedMaxWorkingSetSize` is how much memory macOS lets the graphics use: it depends on the macOS
release and on `iogpu.wired_limit_mb`, so it is asked for and never computed. It is reached through the
Objective-C run time, where a wrong step ends the process; so this is a child, like `nvml`. Never run so
far: no Mac was at hand.

Prints {"gpus": [{"name": "Apple M4 Pro", "total": bytes, "unified": true}]} or {"error": "..."}.
"""

import ctypes
import json
import sys
from typing import Any

_FRAMEWORKS = "/System/Library/Frameworks/{0}.framework/{0}"


def query() -> dict[str, object]:
    # Metal lists devices to a program without windows only when CoreGraphics is loaded too.
    ctypes.CDLL(_FRAMEWORKS.format("CoreGraphics"))
    metal = ctypes.CDLL(_FRAMEWORKS.format("Metal"))
    objc = ctypes.CDLL("/usr/lib/libobjc.A.dylib")
    objc.sel_registerName.restype = ctypes.c_void_p
    objc.sel_registerName.argtypes = [ctypes.c_char_p]
    metal.MTLCopyAllDevices.restype = ctypes.c_void_p

    def send(result: type[ctypes._SimpleCData[Any]], target: object, message: bytes, *index: int) -> object:
        kinds = [ctypes.c_ulong] * len(index)
        function = ctypes.CFUNCTYPE(result, ctypes.c_void_p, ctypes.c_void_p, *kinds)(("objc_msgSend", objc))
        return function(target, objc.sel_registerName(message), *index)

    devices = metal.MTLCopyAllDevices()
    count = send(ctypes.c_ulong, devices, b"count")
    gpus = []
    for index in range(count if isinstance(count, int) else 0):
        device = send(ctypes.c_void_p, devices, b"objectAtIndex:", index)
        name = send(ctypes.c_char_p, send(ctypes.c_void_p, device, b"name"), b"UTF8String")
        gpus.append(
            {
                "name": name.decode("utf-8", "replace") if isinstance(name, bytes) else "",
                "total": send(ctypes.c_uint64, device, b"recommendedMaxWorkingSetSize"),
                "unified": bool(send(ctypes.c_bool, device, b"hasUnifiedMemory")),
            }
        )
    return {"gpus": gpus}


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
