"""The memory of a process on a CPU: what is freed is kept for the next operation, and few compiled kernels are kept."""

import ctypes
import os
import sys

# parameters of mallopt, from malloc.h of glibc
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3
# what a user may have decided
SETTINGS = ("GLIBC_TUNABLES", "MALLOC_TRIM_THRESHOLD_", "MALLOC_TOP_PAD_", "MALLOC_MMAP_THRESHOLD_")
MOST = 2**31 - 1  # bytes; mallopt takes an int
MOST_BEFORE = 32 * 2**20  # bytes; older versions of glibc take no larger M_MMAP_THRESHOLD
STEP = 256 * 2**20  # bytes that the heap grows by; until they are written to, they take no memory
KERNELS = 32  # about as many as a step has operations of different shapes; oneDNN keeps 1,024, of up to 1 MB each
KERNEL_SETTING = "ONEDNN_PRIMITIVE_CACHE_CAPACITY"


def keep_freed_memory() -> bool:
    """Let glibc keep freed memory for the next allocation, up to 2 GiB of it; nothing happens elsewhere.

    Each operation of torch on a CPU allocates its result and frees what it no longer needs. Results of many megabytes
    are mapped and unmapped each time, and the system clears every page of them: `benchmarks.engine` measures what that
    costs. The peak of a process may be a few per cent higher.

    Returns:
        Whether it is done: on Linux with glibc, unless the environment sets these parameters otherwise.
    """
    if sys.platform != "linux" or any(name in os.environ for name in SETTINGS):
        return False
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "gnu_get_libc_version"):  # musl
        return False
    mapped = libc.mallopt(M_MMAP_THRESHOLD, MOST) or libc.mallopt(M_MMAP_THRESHOLD, MOST_BEFORE)
    return bool(mapped and libc.mallopt(M_TRIM_THRESHOLD, MOST) and libc.mallopt(M_TOP_PAD, STEP))


def keep_few_kernels() -> None:
    """Let oneDNN keep 32 compiled kernels, unless the environment says how many.

    oneDNN compiles a kernel for each operation and shape, and batches of proteins have many shapes: with all of them
    kept, memory grows over a proteome. Call this before the first operation of torch.
    """
    os.environ.setdefault(KERNEL_SETTING, str(KERNELS))
