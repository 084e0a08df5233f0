"""Locks on files: they hold between processes, and end with the process that took them."""

from __future__ import annotations

import errno
import os
import sys

if sys.platform == "win32":
    import msvcrt

    _BEYOND = 2**30
    """Windows locks bytes, and nobody else may read those: one far behind what is written."""
else:
    import fcntl


def lock(descriptor: int, *, wait: bool) -> bool:
    """Lock an open file for this process alone.

    Args:
        descriptor: Of a file that is open for writing; closing it ends the lock.
        wait: Whether to wait for a process that holds the lock; on Windows for ten seconds.

    Returns:
        Whether it is locked, or its file system knows no locks; ``False`` where another process
        holds it.
    """
    try:
        if sys.platform == "win32":
            here = os.lseek(descriptor, 0, os.SEEK_CUR)
            os.lseek(descriptor, _BEYOND, os.SEEK_SET)
            try:
                msvcrt.locking(descriptor, msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)
            finally:
                os.lseek(descriptor, here, os.SEEK_SET)
        else:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError as fault:
        return fault.errno not in (
            errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES, errno.EDEADLK,
        )  # fmt: skip
    return True
