"""Windows: a job that ends a child when we end, however we end. Written from documentation, not run so far.

A job with KILL_ON_JOB_CLOSE ends all its processes when its last handle is closed, and the system closes ours
when we die. Only engine children are put into it: a job around ourselves would also end a browser or a folder
window that we opened.
"""

import ctypes
import sys

KILL_ON_JOB_CLOSE = 0x2000
EXTENDED_LIMIT_INFORMATION = 9
SET_QUOTA_AND_TERMINATE = 0x0100 | 0x0001


class BasicLimits(ctypes.Structure):
    """JOBOBJECT_BASIC_LIMIT_INFORMATION of winnt.h."""

    _fields_ = (
        ("per_process_user_time", ctypes.c_int64),
        ("per_job_user_time", ctypes.c_int64),
        ("limit_flags", ctypes.c_uint32),
        ("minimum_working_set", ctypes.c_size_t),
        ("maximum_working_set", ctypes.c_size_t),
        ("active_processes", ctypes.c_uint32),
        ("affinity", ctypes.c_size_t),
        ("priority_class", ctypes.c_uint32),
        ("scheduling_class", ctypes.c_uint32),
    )


class ExtendedLimits(ctypes.Structure):
    """JOBOBJECT_EXTENDED_LIMIT_INFORMATION of winnt.h: 144 bytes on 64-bit Windows."""

    _fields_ = (
        ("basic", BasicLimits),
        ("io_counters", ctypes.c_uint64 * 6),
        ("process_memory", ctypes.c_size_t),
        ("job_memory", ctypes.c_size_t),
        ("peak_process_memory", ctypes.c_size_t),
        ("peak_job_memory", ctypes.c_size_t),
    )


if sys.platform == "win32":

    class KillOnCloseJob:
        """Holds one child, and everything it starts, until `close`. Raises `OSError` when Windows refuses."""

        def __init__(self, pid: int) -> None:
            kernel = ctypes.WinDLL("kernel32", use_last_error=True)
            for function in (kernel.CreateJobObjectW, kernel.OpenProcess):
                function.restype = ctypes.c_void_p
            self._close = kernel.CloseHandle
            self._close.argtypes = [ctypes.c_void_p]
            limits = ExtendedLimits()
            limits.basic.limit_flags = KILL_ON_JOB_CLOSE
            self._job = kernel.CreateJobObjectW(None, None)
            process = kernel.OpenProcess(SET_QUOTA_AND_TERMINATE, False, pid)
            try:
                done = (
                    self._job
                    and process
                    and kernel.SetInformationJobObject(
                        ctypes.c_void_p(self._job),
                        EXTENDED_LIMIT_INFORMATION,
                        ctypes.byref(limits),
                        ctypes.sizeof(limits),
                    )
                    and kernel.AssignProcessToJobObject(ctypes.c_void_p(self._job), ctypes.c_void_p(process))
                )
                if not done:
                    raise ctypes.WinError(ctypes.get_last_error())
            finally:
                if process:
                    self._close(process)

        def close(self) -> None:
            """End what is still in the job."""
            self._close(self._job)
