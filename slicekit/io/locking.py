"""Locks on files: they hold between processes, and end with the process that took them."""

from __future__ import annotations

import errno


def lock(descriptor: int, *, wait: bool) -> bool:
    """Lock an open file for this process alone.

    Args:
        descriptor: Of a file that is open for writing; closing it ends the lock.
        wait: Whether to wait for a process that holds the lock.

    Returns:
        Whether it is locked, or the system and this file system know no locks; ``False`` where
        another process holds it.
    """
    try:
        import fcntl
    except ImportError:  # not on every system
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError as fault:
        return fault.errno not in (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES)
    return True
