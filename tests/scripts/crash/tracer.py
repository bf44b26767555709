"""Runs a program and decides at each of its system calls, those of all its threads and children too, whether the call is
made, fails, or is the program's last moment. Linux on x86-64 only. It must not know what it runs.
"""

import ctypes
import errno
import os
import platform
import signal
import subprocess
import sys
import threading

KILL = "kill"

_PEEK, _GETREGS, _SETREGS, _SYSCALL, _SEIZE, _INTERRUPT = 2, 12, 13, 24, 0x4206, 0x4207
# System-call stops are marked; forks, clones and execs are followed; a tracee does not outlive the tracer.
_OPTIONS = 1 | 2 | 4 | 8 | 16 | 0x100000
_EVENT_EXEC = 4
_ALL_OF_THIS_THREAD = 0x40000000 | 0x20000000
_ENTERING = -errno.ENOSYS & (1 << 64) - 1

_REGISTERS = "r15 r14 r13 r12 rbp rbx r11 r10 r9 r8 rax rcx rdx rsi rdi orig_rax rip cs eflags rsp ss fs_base gs_base ds es fs gs"

# write pwrite64 writev pwritev ftruncate fallocate sendfile: they change the file behind their first argument.
_WRITING = {1, 18, 20, 296, 77, 285, 40}
# creat rename* link* symlink* unlink* mkdir* rmdir chmod* chown* utimensat truncate fsync fdatasync sync_file_range
# syncfs copy_file_range: they change names, attributes or contents, or make them durable.
_CHANGING = {
    85, 82, 264, 316, 86, 265, 88, 266, 87, 263, 83, 258, 84, 90, 91, 268, 92, 93, 260, 280, 76, 74, 75, 277, 306, 326,
}
_OPEN, _OPENAT, _OPENAT2 = 2, 257, 437
_TO_WRITE = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


class _Registers(ctypes.Structure):
    _fields_ = [(name, ctypes.c_ulonglong) for name in _REGISTERS.split()]


def is_supported():
    return sys.platform == "linux" and platform.machine() == "x86_64"


def _ptrace(request, pid, address=None, data=None):
    """-1 for a thread that is gone meanwhile, which is no error here."""
    return _library().ptrace(request, pid, address, data)


def _library(known=[]):
    if not known:
        library = ctypes.CDLL(None, use_errno=True)
        library.ptrace.restype = ctypes.c_long
        library.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
        known.append(library)
    return known[0]


class Call:
    """A system call that is about to be made."""

    def __init__(self, pid, registers):
        self.pid, self.number = pid, registers.orig_rax
        self.arguments = (registers.rdi, registers.rsi, registers.rdx)

    def changes_files(self):
        """Whether it can change what is in a file system: what a crash between two others would leave is the same."""
        if self.number == _OPEN:
            return bool(self.arguments[1] & _TO_WRITE)
        if self.number == _OPENAT:
            return bool(self.arguments[2] & _TO_WRITE)
        if self.number == _OPENAT2:
            # The flags are the first field of the structure that is pointed to.
            return bool(_ptrace(_PEEK, self.pid, self.arguments[2]) & _TO_WRITE)
        return self._is_file() if self.number in _WRITING else self.number in _CHANGING

    def _is_file(self):
        """A pipe, a socket or an event counter is no file that outlives the process."""
        try:
            path = os.readlink(f"/proc/{self.pid}/fd/{self.arguments[0] & 0xFFFFFFFF}")
        except OSError:
            return False
        return path.startswith("/") and not path.startswith(("/dev/null", "/dev/pts", "/dev/tty", "/proc"))


class Ended:
    """How a program ended; `code` is None when a signal ended it."""

    def __init__(self, code, stdout, stderr):
        self.code, self.stdout, self.stderr = code, stdout, stderr


def run(command, directory, environment, text, decide):
    """`decide(call)` gives None for a call that is made, an errno for one that fails instead, or KILL."""
    # A shell that waits for a line is there to be traced before the program is.
    shell = ["/bin/sh", "-c", 'read -r go; exec "$@"', "sh", *command]
    pipe = subprocess.PIPE
    child = subprocess.Popen(shell, cwd=directory, env=environment, stdin=pipe, stdout=pipe, stderr=pipe)
    if _ptrace(_SEIZE, child.pid, None, _OPTIONS) or _ptrace(_INTERRUPT, child.pid):
        child.kill()
        raise OSError(ctypes.get_errno(), "trace the program")
    read = {}

    def write():
        try:
            child.stdin.write(b"go\n" + text)
            child.stdin.close()
        except OSError:
            pass  # A program that does not read is gone before all is written.

    def collect(stream):
        read[stream] = stream.read()

    threads = [threading.Thread(target=write)]
    threads += [threading.Thread(target=collect, args=(stream,)) for stream in (child.stdout, child.stderr)]
    for thread in threads:
        thread.start()
    code = _follow(child.pid, decide)
    for thread in threads:
        thread.join()
    child.returncode = code or 0
    return Ended(code, read[child.stdout], read[child.stderr])


def _follow(leader, decide):
    started, calling = False, {}
    while True:
        pid, status = os.waitpid(-1, _ALL_OF_THIS_THREAD)
        if os.WIFEXITED(status) or os.WIFSIGNALED(status):
            if pid == leader:
                return os.WEXITSTATUS(status) if os.WIFEXITED(status) else None
            continue
        stop, event, deliver = os.WSTOPSIG(status), status >> 16, 0
        if stop == signal.SIGTRAP | 0x80:
            _at_call(pid, leader, calling, decide if started else lambda call: None)
        elif event:
            started = started or event == _EVENT_EXEC and pid == leader
        elif stop not in (signal.SIGSTOP, signal.SIGTRAP):
            deliver = stop
        _ptrace(_SYSCALL, pid, None, deliver)


def _at_call(pid, leader, calling, decide):
    registers = _Registers()
    if _ptrace(_GETREGS, pid, None, ctypes.byref(registers)):
        return
    if pid in calling:
        error = calling.pop(pid)
        if error:
            registers.rax = -error & (1 << 64) - 1
            _ptrace(_SETREGS, pid, None, ctypes.byref(registers))
        return
    # A new thread's first stop may be the end of its making.
    if registers.rax != _ENTERING:
        return
    calling[pid] = None
    act = decide(Call(pid, registers))
    if act == KILL:
        os.kill(leader, signal.SIGKILL)
    elif act:
        calling[pid] = act
        registers.orig_rax = (1 << 64) - 1
        _ptrace(_SETREGS, pid, None, ctypes.byref(registers))
