"""Holds a process so that not even SIGKILL ends it, as a broken driver does. Linux, where one may trace.

Argument: its process id. It stops at its exit (PTRACE_O_TRACEEXIT of ptrace(2)) until our standard input
ends.
"""

import ctypes
import sys

SEIZE, TRACE_EXIT = 0x4206, 0x40

ptrace = ctypes.CDLL(None, use_errno=True).ptrace
ptrace.argtypes = [ctypes.c_long] * 4
held = ptrace(SEIZE, int(sys.argv[1]), 0, TRACE_EXIT) == 0
print("held" if held else "refused", flush=True)
sys.stdin.read()
