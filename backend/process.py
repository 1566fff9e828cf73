"""The backend's own process: its streams, its threads, its memory. Imports neither numpy nor torch."""

import os
import sys

THREAD_VARIABLES = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
MAX_THREADS = 8  # the model's matrices are too small to keep more threads busy
SHARED_CORES = 4  # with more cores than these, one is left to Blender


def claim_streams() -> tuple:
    """Take stdin and stdout for the protocol, as unbuffered binary streams that nobody else in this process reaches.

    What is printed afterwards, from Python or from a C library, goes to stderr, which is the log. Descriptor 0 becomes
    empty: on Windows a library that looks at its standard input while loading would wait for our reader thread
    (numpy issue 24290, cpython issue 78961).
    """
    if sys.platform == "win32":
        import msvcrt

        for descriptor in (0, 1):
            msvcrt.setmode(descriptor, os.O_BINARY)
    source = os.fdopen(os.dup(0), "rb", buffering=0)
    sink = os.fdopen(os.dup(1), "wb", buffering=0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return source, sink


def usable_cores() -> int:
    """The cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def limit_threads() -> int:
    """Tell the matrix libraries how many threads to use; it counts only before numpy or torch is imported."""
    cores = usable_cores()
    count = min(MAX_THREADS, cores if cores <= SHARED_CORES else cores - 1)
    for variable in THREAD_VARIABLES:
        os.environ.setdefault(variable, str(count))
    return count


def memory_mb() -> float:
    """The memory that this process occupies now (on macOS: at its peak), in MB."""
    if sys.platform == "linux":
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
    if sys.platform == "win32":
        return _windows_memory_mb()
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def _windows_memory_mb() -> float:
    """The working set, as the task manager shows it."""
    import ctypes
    from ctypes import wintypes

    class Counters(ctypes.Structure):
        """PROCESS_MEMORY_COUNTERS of the Windows API."""

        _fields_ = [("cb", wintypes.DWORD), ("PageFaultCount", wintypes.DWORD)] + [
            (name, ctypes.c_size_t)
            for name in (
                "PeakWorkingSetSize",
                "WorkingSetSize",
                "QuotaPeakPagedPoolUsage",
                "QuotaPagedPoolUsage",
                "QuotaPeakNonPagedPoolUsage",
                "QuotaNonPagedPoolUsage",
                "PagefileUsage",
                "PeakPagefileUsage",
            )
        ]

    counters = Counters(cb=ctypes.sizeof(Counters))
    current = ctypes.windll.kernel32.GetCurrentProcess
    current.restype = wintypes.HANDLE
    query = ctypes.windll.psapi.GetProcessMemoryInfo
    query.argtypes = [wintypes.HANDLE, ctypes.POINTER(Counters), wintypes.DWORD]
    query(current(), ctypes.byref(counters), counters.cb)
    return counters.WorkingSetSize / 2**20
