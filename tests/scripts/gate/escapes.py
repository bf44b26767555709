"""Tries to get out of the sandbox, in as many ways as there are functions below; says of each whether it got out.

Run inside: krins sandbox -- python3 escapes.py FACTS.json
The facts name what lies outside: files, a process, sockets. One line an attempt: `held NAME why` or `ESCAPED NAME how`.
"""
import ctypes
import errno
import fcntl
import json
import os
import platform
import signal
import socket
import subprocess
import sys
import time

facts = json.load(open(sys.argv[1]))
OUT, HOME, ROOT, STATE = facts["out"], facts["home"], facts["root"], facts["state"]
CANARY, VICTIM, PORT, SOCKET, ABSTRACT = facts["canary"], facts["victim"], facts["port"], facts["socket"], facts["abstract"]
libc = ctypes.CDLL(None, use_errno=True)
X86 = platform.machine() == "x86_64"
attempts = []


def attempt(function):
    attempts.append((function.__name__, function))
    return function


def many(prefix, items, body):
    for item in items:
        name = prefix + "_" + item.strip("/").replace("/", "_").replace(".", "_").replace(" ", "_")[:40]
        attempts.append((name, lambda item=item: body(item)))


def write(path, flags=os.O_WRONLY):
    fd = os.open(path, flags, 0o644)
    os.write(fd, b"escaped\n")
    os.close(fd)
    return "wrote " + path


def leaks(path):
    data = open(path, "rb").read(1 << 20)
    return "read " + path if CANARY.encode() in data else None


def call(number, *arguments):
    ctypes.set_errno(0)
    result = libc.syscall(ctypes.c_long(number), *[ctypes.c_long(argument) for argument in arguments])
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return "system call %d gave %d" % (number, result)


def refused(number, *arguments):
    """The call itself must be refused: any other error shows that it got through."""
    try:
        return call(number, *arguments)
    except OSError as error:
        if error.errno in (errno.EPERM, errno.ENOSYS, errno.EACCES):
            raise
        return "system call %d got as far as %s" % (number, error.strerror)


def run(*argv):
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=10)
    if done.returncode != 0:
        raise OSError(errno.EPERM, done.stdout.decode(errors="replace")[-80:].strip())
    return "%s: %s" % (" ".join(argv), done.stdout.decode(errors="replace")[:80])


# Files outside are written, made, moved, taken away.
many("write", [OUT + "/victim", ROOT + "/src/a.ts", ROOT + "/.env", HOME + "/.bashrc", HOME + "/.ssh/id_rsa", "/etc/passwd"], write)
many(
    "make",
    [OUT + "/new", ROOT + "/src/new.ts", ROOT + "/.git/hooks/pre-commit", HOME + "/.gitconfig", HOME + "/.config/krins/config.toml",
     "/etc/cron.d/krins-escape", "/etc/ld.so.preload", "/usr/local/bin/krins-escape", "/var/tmp/krins-escape", "/dev/shm/krins-escape",
     "/run/krins-escape", STATE + "/krins-escape", ROOT + "/node_modules/lib/new.js", ROOT + "/node_modules/new.js"],
    lambda path: write(path, os.O_WRONLY | os.O_CREAT),
)
many("append", [OUT + "/victim", ROOT + "/node_modules/lib/index.js"], lambda path: write(path, os.O_WRONLY | os.O_APPEND))
many("read", [HOME + "/.ssh/id_rsa", HOME + "/.aws/credentials", HOME + "/.npmrc", ROOT + "/.env", OUT + "/secret", STATE + "/secret",
              HOME + "/.config/krins/config.toml", "/proc/self/root" + HOME + "/.ssh/id_rsa", "/proc/1/root" + HOME + "/.ssh/id_rsa",
              "/proc/%d/root" % VICTIM + HOME + "/.ssh/id_rsa", "/proc/%d/environ" % VICTIM, "/proc/%d/cwd/secret" % VICTIM], leaks)


@attempt
def truncate_by_path():
    os.truncate(OUT + "/victim", 0)
    return "truncated"


@attempt
def truncate_on_open():
    os.close(os.open(OUT + "/victim", os.O_RDONLY | os.O_TRUNC))
    return "truncated"


@attempt
def unlink():
    os.unlink(OUT + "/victim")
    return "removed"


@attempt
def rename_in():
    os.rename(OUT + "/victim", "taken")
    return "moved in"


@attempt
def rename_out():
    open("own", "w").close()
    os.rename("own", OUT + "/moved")
    return "moved out"


@attempt
def rename_exchange():
    open("own", "w").write("escaped")
    return call(316 if X86 else 276, -100, ctypes.cast(ctypes.c_char_p(b"own"), ctypes.c_void_p).value, -100,
                ctypes.cast(ctypes.c_char_p((OUT + "/victim").encode()), ctypes.c_void_p).value, 2)


@attempt
def hard_link_in():
    os.link(OUT + "/victim", "hard")
    return write("hard")


@attempt
def hard_link_out():
    open("own", "w").close()
    os.link("own", OUT + "/hard")
    return "linked out"


@attempt
def hard_link_of_dependency():
    os.link(ROOT + "/node_modules/lib/index.js", "hard.js")
    return write("hard.js")


@attempt
def symbolic_link():
    os.symlink(OUT, "link")
    return write("link/new", os.O_WRONLY | os.O_CREAT)


@attempt
def symbolic_link_to_secret():
    os.symlink(HOME + "/.ssh/id_rsa", "key")
    return leaks("key")


@attempt
def symbolic_link_made_outside():
    os.symlink("/tmp", OUT + "/link")
    return "linked"


@attempt
def directory_made():
    os.mkdir(OUT + "/dir")
    return "made"


@attempt
def directory_removed():
    os.rmdir(OUT + "/empty")
    return "removed"


@attempt
def fifo_made():
    os.mkfifo(OUT + "/fifo")
    return "made"


@attempt
def temporary_file_linked_out():
    fd = os.open(".", os.O_TMPFILE | os.O_WRONLY)
    os.link("/proc/self/fd/%d" % fd, OUT + "/linked")
    return "linked"


def attributes(name, change, look):
    def body():
        before = look()
        try:
            change()
        except OSError as error:
            return None if look() == before else "changed in spite of %s" % error
        return None if look() == before else "changed"

    attempts.append((name, body))


def stat():
    try:
        found = os.stat(OUT + "/victim")
        return (found.st_mode, found.st_uid, found.st_mtime)
    except OSError:
        return None


attributes("chmod", lambda: os.chmod(OUT + "/victim", 0o777), stat)
attributes("chown", lambda: os.chown(OUT + "/victim", 12345, 12345), stat)
attributes("touch", lambda: os.utime(OUT + "/victim", (1, 1)), stat)
attributes("setxattr", lambda: os.setxattr(OUT + "/victim", b"user.escaped", b"1"), lambda: os.listxattr(OUT + "/victim"))


@attempt
def change_of_a_dependency_by_descriptor():
    path = ROOT + "/node_modules/lib/index.js"
    fd, before = os.open(path, os.O_RDONLY), os.stat(path).st_mode
    try:
        os.fchmod(fd, 0o777)
    except OSError:
        pass
    return None if os.stat(path).st_mode == before else "changed"


@attempt
def listing_of_home():
    # In a namespace the directory is one of its own, with the places that are mounted and what was tried above.
    seen = {".ssh", ".aws", ".npmrc"} & set(os.listdir(HOME))
    return "listed: %s" % seen if seen else None


@attempt
def listing_of_root():
    seen = {"src", ".env", ".gitignore"} & set(os.listdir(ROOT))
    return "listed: %s" % seen if seen else None


@attempt
def shadow():
    return "read" if open("/etc/shadow").read() else None


@attempt
def environment():
    return "inherited" if CANARY in str(dict(os.environ)) else None


@attempt
def environments_of_all():
    for name in os.listdir("/proc"):
        if name.isdigit():
            for part in ("environ", "fd/0", "fd/1", "fd/3", "fd/4", "fd/5", "cwd/secret"):
                try:
                    with open("/proc/%s/%s" % (name, part), "rb", buffering=0) as file:
                        os.set_blocking(file.fileno(), False)
                        if CANARY.encode() in (file.read(1 << 16) or b""):
                            return "read /proc/%s/%s" % (name, part)
                except OSError:
                    pass
    return None


@attempt
def memory_of_another():
    return "opened" if os.open("/proc/%d/mem" % VICTIM, os.O_RDONLY) else None


@attempt
def kill():
    os.kill(VICTIM, signal.SIGKILL)
    # In a namespace of its own the number is another process, or none.
    return "killed" if VICTIM_IS_VISIBLE else None


@attempt
def kill_parents():
    for pid in (os.getppid(), int(open("/proc/%d/stat" % os.getppid()).read().rsplit(")", 1)[1].split()[1])):
        if pid > 1:
            os.kill(pid, signal.SIGSTOP)
            os.kill(pid, signal.SIGCONT)
            return "signalled %d" % pid
    return None


VICTIM_IS_VISIBLE = os.path.exists("/proc/%d" % VICTIM)


@attempt
def kill_everybody():
    if os.getpid() < 50:
        return None
    before = os.getpid()
    try:
        os.kill(VICTIM, 0)
    except ProcessLookupError:
        return None
    return "may signal %d from %d" % (VICTIM, before)


@attempt
def connect():
    socket.create_connection(("127.0.0.1", PORT), timeout=3)
    return "connected"


@attempt
def connect_abroad():
    socket.create_connection(("192.0.2.1", 80), timeout=1)
    return "connected"


@attempt
def datagram():
    probe = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    probe.sendto(b"escaped", ("127.0.0.1", PORT))
    # In a network of its own nobody hears it; the other side looks.
    return None


@attempt
def socket_of_another():
    probe = socket.socket(socket.AF_UNIX)
    probe.connect(SOCKET)
    return "connected"


@attempt
def abstract_socket_of_another():
    probe = socket.socket(socket.AF_UNIX)
    probe.connect("\0" + ABSTRACT)
    return "connected"


@attempt
def name_service():
    return socket.gethostbyname("example.com")


@attempt
def raw_socket():
    probe = socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)
    probe.sendto(b"\x08\x00" + b"\0" * 6, ("192.0.2.1", 0))
    return "sent"


@attempt
def packet_socket():
    probe = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    return "made %s" % probe


@attempt
def vsock():
    probe = socket.socket(40, socket.SOCK_STREAM)
    probe.settimeout(1)
    probe.connect((2, 1024))
    return "connected"


@attempt
def programs_that_talk():
    return run("bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/%d" % PORT)


many("program", ["unshare -Ur true", "unshare -n true", "nsenter -t 1 -m true", "mount -t tmpfs none .", "chroot / true", "sudo -n true",
                 "su -c true", "renice -n 5 -p %d" % VICTIM, "crontab -l", "systemd-run --user true", "at now", "dmesg"],
     lambda line: run(*line.split()))


@attempt
def one_that_stays():
    # Whoever started us looks for it when we are gone.
    subprocess.Popen(["setsid", "sh", "-c", "sleep 600 & sleep 600 # " + facts["marker"]], start_new_session=True,
                     stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return None


@attempt
def one_that_writes_later():
    subprocess.Popen(["setsid", "sh", "-c", "sleep 1; echo escaped > %s/late" % OUT], start_new_session=True,
                     stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return None


@attempt
def device():
    os.mknod("device", 0o600 | 0o060000, os.makedev(8, 0))
    return "made a device" if os.open("device", os.O_RDONLY) else None


many("device", ["/dev/mem", "/dev/kmsg", "/dev/sda", "/dev/vda", "/dev/fuse", "/dev/kvm", "/dev/net/tun"], lambda path: "opened" if os.open(path, os.O_RDWR) else None)


@attempt
def terminal():
    fd = os.open("/dev/tty", os.O_RDWR)
    fcntl.ioctl(fd, 0x5412, b"x")
    return "typed"


@attempt
def terminal_by_descriptor():
    fcntl.ioctl(1, 0x5412, b"x")
    return "typed"


many("kernel", ["/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger", "/sys/kernel/mm/ksm/run", "/proc/%d/oom_score_adj" % VICTIM, "/sys/fs/cgroup/cgroup.procs"], write)

X = {  # name: (x86-64, aarch64), arguments
    "ptrace": ((101, 117), (16, VICTIM, 0, 0)),
    "process_vm_readv": ((310, 270), (VICTIM, 0, 0, 0, 0, 0)),
    "process_vm_writev": ((311, 271), (VICTIM, 0, 0, 0, 0, 0)),
    "pidfd_getfd": ((438, 438), (0, 0, 0)),
    "io_uring_setup": ((425, 425), (1, 0)),
    "bpf": ((321, 280), (0, 0, 0)),
    "perf_event_open": ((298, 241), (0, 0, -1, -1, 0)),
    "userfaultfd": ((323, 282), (0,)),
    "keyctl": ((250, 219), (0, -3, 0)),
    "add_key": ((248, 217), (0, 0, 0, 0, -3)),
    "mount": ((165, 40), (0, 0, 0, 0, 0)),
    "umount": ((166, 39), (0, 0)),
    "pivot_root": ((155, 41), (0, 0)),
    "setns": ((308, 268), (0, 0)),
    "unshare": ((272, 97), (0x10000000,)),
    "open_by_handle": ((304, 265), (0, 0, 0)),
    "fsopen": ((430, 430), (0, 0)),
    "open_tree": ((428, 428), (-100, 0, 1)),
    "reboot": ((169, 142), (0, 0, 0, 0)),
    "kexec": ((246, 104), (0, 0, 0, 0)),
    "init_module": ((175, 105), (0, 0, 0)),
    "swapoff": ((168, 225), (0,)),
    "sethostname": ((170, 161), (0, 0)),
    "settimeofday": ((164, 170), (0, 0)),
    "shmget": ((29, 194), (0x4B52, 4096, 0o1666)),
    "semget": ((64, 190), (0x4B52, 1, 0o1666)),
    "msgget": ((68, 186), (0x4B52, 0o1666)),
    "prlimit_of_another": ((302, 261), (VICTIM, 7, 0, 0)),
    "setpriority": ((141, 140), (0, VICTIM, 5)),
    "clone_into_namespace": ((56, 220), (0x10000000 | 17, 0, 0, 0, 0)),
    "clone3": ((435, 435), (0, 0)),
}
for name, (numbers, arguments) in X.items():
    number = numbers[0 if X86 else 1]
    attempts.append(("call_" + name, lambda number=number, arguments=arguments: refused(number, *arguments)))
if X86:
    # The same calls by the numbers of the x32 interface.
    for name, number in (("socket", 41), ("unshare", 272), ("ptrace", 521 - 0), ("mount", 165)):
        attempts.append(("x32_" + name, lambda number=number: call(0x40000000 | number, 2 if number == 41 else 0x10000000, 1, 0)))

escaped = 0
for name, function in attempts:
    try:
        how = function()
    except subprocess.TimeoutExpired:
        how = None
    except (OSError, ValueError) as error:
        print("held", name, error, flush=True)
        continue
    if how:
        escaped += 1
        print("ESCAPED", name, how, flush=True)
    else:
        print("held", name, flush=True)
print("attempts", len(attempts), "escaped", escaped, flush=True)
