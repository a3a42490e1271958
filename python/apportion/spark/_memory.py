"""Memory of tasks that is used again for the next batch, instead of going back to the system in between."""

from __future__ import annotations

import ctypes
from functools import lru_cache

#: What `mallopt` calls how much may lie free at the end of the heap, and from what size on a piece of memory
#: is asked of the system by itself (mallopt(3)).
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
#: More than any batch takes; an older system takes no more than the second.
_PIECES = (1 << 30, 32 << 20)


@lru_cache(maxsize=1)
def use_memory_again() -> None:
    """From now on this process keeps what it frees for what it needs next.

    A batch of rows is tens of megabytes, each of whose pages the system has to clear where it is asked for
    anew. Spark ends a process that had no task for a minute. Where memory is not managed by the C library
    of GNU, nothing changes.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_TRIM_THRESHOLD, _PIECES[0])
        any(mallopt(_MMAP_THRESHOLD, size) for size in _PIECES)
