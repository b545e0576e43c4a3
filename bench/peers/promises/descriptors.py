"""What the kernel tells of the descriptors of another process, for check.py."""

import ctypes
import errno
import os
import re
import resource
import socket
import stat
import struct

PIDFD_GETFD = 438
# Where struct tcp_info has it: for a listener, its tcpi_sacked is the longest backlog.
TCPI_SACKED = 28
TCPI_DATA_SEGS_IN = 152

_libc = ctypes.CDLL(None, use_errno=True)


def raise_limit():
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def is_running(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            return file.read().rpartition(") ")[2][0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def resident_memory(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        for line in status:
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
    return 0


def longest_backlog():
    with open("/proc/sys/net/core/somaxconn", encoding="ascii") as limit:
        return int(limit.read())


def _duplicate(process, name):
    """None if it has been closed meanwhile."""
    fd = _libc.syscall(PIDFD_GETFD, process, int(name), 0)
    if fd >= 0:
        return fd
    if ctypes.get_errno() == errno.EBADF:
        return None
    raise OSError(ctypes.get_errno(), "pidfd_getfd")


def tcp_sockets(pid):
    """Duplicates of all TCP sockets that the process has."""
    found = []
    process = os.pidfd_open(pid)
    for name in os.listdir(f"/proc/{pid}/fd"):
        fd = _duplicate(process, name)
        if fd is None:
            continue
        if not stat.S_ISSOCK(os.fstat(fd).st_mode):
            os.close(fd)
            continue
        duplicate = socket.socket(fileno=fd)
        if duplicate.proto == socket.IPPROTO_TCP:
            found.append(duplicate)
        else:
            duplicate.close()
    os.close(process)
    return found


def _registered_files(pid, name):
    """Of a ring; the kernel tells nothing while the ring is in use."""
    while True:
        with open(f"/proc/{pid}/fdinfo/{name}", encoding="ascii") as told:
            text = told.read()
        if "UserFiles" in text:
            return len(re.findall(r"^ *[0-9]+: ", text, re.MULTILINE))


def registered_files(pid):
    """Files that an io_uring has and that have no descriptor."""
    count = 0
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            if os.readlink(f"/proc/{pid}/fd/{name}") == "anon_inode:[io_uring]":
                count += _registered_files(pid, name)
        except FileNotFoundError:
            pass  # closed meanwhile
    return count


def _tcp_info(tcp, offset):
    return struct.unpack_from("I", tcp.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256), offset)[0]


def is_listener(tcp):
    return tcp.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) != 0


def backlog(listener):
    return _tcp_info(listener, TCPI_SACKED)


def data_segments_received(tcp):
    return _tcp_info(tcp, TCPI_DATA_SEGS_IN)
