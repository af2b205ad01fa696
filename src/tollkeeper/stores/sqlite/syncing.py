"""Syncs a file while the event loop goes on: the kernel does it where it can (Linux AIO), else a thread.

A thread must take the interpreter's lock from a busy event loop before and after each sync, which costs more than the
sync's own CPU time. IOCB_CMD_FDSYNC (Linux 4.18) is fdatasync on a kernel thread; an eventfd tells of its end.
https://man7.org/linux/man-pages/man2/io_submit.2.html
"""

import asyncio
import ctypes
import errno
import fcntl
import os
import platform
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

Done = Callable[[OSError | None], None]

_SYSCALLS = {"x86_64": (206, 207, 208, 209), "aarch64": (0, 1, 4, 2), "riscv64": (0, 1, 4, 2)}
"""io_setup, io_destroy, io_getevents, io_submit; none of them has a name in libc."""
_FDSYNC, _TELL_EVENTFD = 3, 1
_TRIAL = 5
"""Seconds that the first sync may take."""


class Syncer(Protocol):
    """One sync at a time."""

    def sync(self, descriptor: int, done: Done) -> None:
        """Calls `done` on the event loop when all that was written to the file is on disk, or with why it may not be."""
        ...

    def close(self) -> None:
        """No sync may be under way."""
        ...


def syncer(loop: asyncio.AbstractEventLoop, threads: ThreadPoolExecutor, descriptor: int) -> Syncer:
    """The best that works for the file open at `descriptor`, found out by trying."""
    try:
        return KernelSyncer(loop, descriptor)
    except OSError:
        return ThreadSyncer(loop, threads)


def sync_now(descriptor: int) -> None:
    """Returns when the file is on disk. Raises OSError."""
    if sys.platform == "darwin":
        fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)  # fsync(2) there leaves it in the drive's cache
    else:
        os.fdatasync(descriptor)


class ThreadSyncer:
    """Any system's way."""

    def __init__(self, loop: asyncio.AbstractEventLoop, threads: ThreadPoolExecutor) -> None:
        self._loop = loop
        self._threads = threads

    def sync(self, descriptor: int, done: Done) -> None:
        def ended(future: "asyncio.Future[None]") -> None:
            error = future.exception()
            done(error if error is None or isinstance(error, OSError) else OSError(str(error)))

        self._loop.run_in_executor(self._threads, sync_now, descriptor).add_done_callback(ended)

    def close(self) -> None:
        return


class _Control(ctypes.Structure):
    """struct iocb of linux/aio_abi.h, little-endian."""

    _fields_ = (
        ("data", ctypes.c_uint64),
        ("key", ctypes.c_uint32),
        ("rw_flags", ctypes.c_int32),
        ("opcode", ctypes.c_uint16),
        ("priority", ctypes.c_int16),
        ("descriptor", ctypes.c_uint32),
        ("buffer", ctypes.c_uint64),
        ("bytes", ctypes.c_uint64),
        ("offset", ctypes.c_int64),
        ("reserved", ctypes.c_uint64),
        ("flags", ctypes.c_uint32),
        ("eventfd", ctypes.c_uint32),
    )


class _Ended(ctypes.Structure):
    """struct io_event."""

    _fields_ = (
        ("data", ctypes.c_uint64),
        ("control", ctypes.c_uint64),
        ("result", ctypes.c_int64),
        ("result2", ctypes.c_int64),
    )


class _Timespec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_int64), ("nanoseconds", ctypes.c_int64))


class KernelSyncer:
    """Linux's way. Raises OSError where it is not to be had: another system, an old kernel, a sandbox, the file system."""

    def __init__(self, loop: asyncio.AbstractEventLoop, descriptor: int) -> None:
        numbers = _SYSCALLS.get(platform.machine())
        if sys.platform != "linux" or numbers is None or sys.maxsize < 2**32:
            raise OSError(errno.ENOSYS, "no kernel AIO")
        # PyDLL keeps the interpreter's lock: none of these calls waits.
        self._syscall = ctypes.PyDLL(None, use_errno=True).syscall
        self._syscall.restype = ctypes.c_long
        setup, *rest = map(ctypes.c_long, numbers)
        self._destroy, self._get, self._submit = rest
        context = ctypes.c_ulong(0)
        self._check(self._syscall(setup, ctypes.c_long(1), ctypes.byref(context)))
        self._context = ctypes.c_ulong(context.value)
        self._one = ctypes.c_long(1)
        self._none = ctypes.c_long(0)
        self._control = _Control(opcode=_FDSYNC)
        self._controls = ctypes.pointer(ctypes.pointer(self._control))
        self._ended = _Ended()
        self._at_ended = ctypes.byref(self._ended)
        self._now = ctypes.byref(_Timespec(0, 0))
        self._loop = loop
        self._done: Done | None = None
        self._eventfd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        try:
            self._try(descriptor)
            loop.add_reader(self._eventfd, self._told)
        except OSError:
            self.close()
            raise

    def sync(self, descriptor: int, done: Done) -> None:
        self._control.descriptor = descriptor
        self._done = done
        if self._syscall(self._submit, self._context, self._one, self._controls) != 1:
            self._done = None
            self._loop.call_soon(done, OSError(ctypes.get_errno(), "io_submit"))

    def close(self) -> None:
        self._loop.remove_reader(self._eventfd)
        os.close(self._eventfd)
        self._syscall(self._destroy, self._context)

    def _told(self) -> None:
        try:
            os.eventfd_read(self._eventfd)
        except BlockingIOError:
            return
        if self._syscall(self._get, self._context, self._none, self._one, self._at_ended, self._now) != 1:
            return
        done, self._done = self._done, None
        if done is not None:
            result = self._ended.result
            done(None if result == 0 else OSError(-result, os.strerror(-result)))

    def _try(self, descriptor: int) -> None:
        """The first sync, waited for; before it no eventfd is told, so that nothing is left in it."""
        self._control.descriptor = descriptor
        self._check(self._syscall(self._submit, self._context, self._one, self._controls))
        patience = ctypes.byref(_Timespec(_TRIAL, 0))
        ended = self._syscall(self._get, self._context, self._one, self._one, self._at_ended, patience)
        self._check(ended)
        if ended != 1 or self._ended.result != 0:
            raise OSError(-self._ended.result or errno.ETIMEDOUT, "no sync through kernel AIO")
        self._control.flags = _TELL_EVENTFD
        self._control.eventfd = self._eventfd

    @staticmethod
    def _check(result: int) -> None:
        if result < 0:
            raise OSError(ctypes.get_errno(), "kernel AIO")
