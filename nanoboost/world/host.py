"""Facts about this machine: its size, its networks, and how fast it is.

**The speed is a first guess only**: what tasks really take corrects it.  So the benchmark is short,
runs four everyday kinds of Python work on one core, and takes of each the best of several runs (the
others were disturbed).
"""

import fcntl
import os
import socket
import struct
import sys
import time
import zlib
from collections.abc import Callable
from hashlib import sha256
from math import prod

from nanoboost.runtime import Host, Network

KERNEL_S = 0.1
"""How long each of the four kernels is repeated."""

_BLOCK = bytes(range(256)) * 1024  # 256 KiB
_TEXT = b"".join(b"%d nanoboost " % (number * 7919 % 9973) for number in range(4000))


def _integers() -> None:
    total = 1
    for number in range(1, 20_000):
        total = (total * 31 + number) & 0xFFFFFFFF


def _dictionaries() -> None:
    counts: dict[str, int] = {}
    for number in range(5_000):
        word = f"word-{number % 701}"
        counts[word] = counts.get(word, 0) + len(word)
    sorted(counts.items())


def _digests() -> None:
    sha256(_BLOCK).digest()


def _compression() -> None:
    zlib.compress(_TEXT, 6)


REFERENCE_S: tuple[tuple[Callable[[], None], float], ...] = (
    (_integers, 1.99e-3),
    (_dictionaries, 1.35e-3),
    (_digests, 1.66e-4),
    (_compression, 8.7e-4),
)
"""The kernels, and the seconds that one run takes on the reference machine (speed 1.0): one core of
a 2020s x86-64 server with SHA instructions, CPython 3.11."""


def host(speed: float) -> Host:
    """The facts about this machine; `speed` as `benchmark` measured it, now or earlier."""
    return Host(
        hostname=socket.gethostname().split(".")[0] or "node",
        cores=len(os.sched_getaffinity(0)),
        memory_mib=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20,
        speed=speed,
    )


def benchmark() -> float:
    """The speed of one core, relative to the reference machine: the geometric mean over the
    kernels.  Blocks for 0.4 seconds of processor time."""
    ratios = [reference_s / _best_s(kernel) for kernel, reference_s in REFERENCE_S]
    return round(prod(ratios) ** (1 / len(ratios)), 3)


def _best_s(kernel: Callable[[], None]) -> float:
    """The shortest run of `kernel`, in seconds of this thread's processor time."""
    best = float("inf")
    end = time.thread_time() + KERNEL_S
    while (start := time.thread_time()) < end:
        kernel()
        best = min(best, time.thread_time() - start)
    return best


# --- networks ------------------------------------------------------------------------------------

_FLAGS, _ADDRESS, _BROADCAST = 0x8913, 0x8915, 0x8919  # Linux: SIOCGIFFLAGS, SIOCGIF(BRD)ADDR
_UP, _LOOPBACK = 0x1, 0x8


def networks() -> tuple[Network, ...]:
    """The IPv4 networks that this machine is on now.

    Only Linux tells through an ioctl; elsewhere it is the one network of the default route.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        if sys.platform != "linux":
            return _routed_network(asking)
        found = (_network(asking.fileno(), name) for _, name in socket.if_nameindex())
        return tuple(each for each in found if each is not None)


def _network(fd: int, name: str) -> Network | None:
    """What the interface is on; None if it is down or has no address."""

    def ask(what: int) -> bytes:
        return fcntl.ioctl(fd, what, struct.pack("256s", name.encode()[:15]))

    try:
        flags = int.from_bytes(ask(_FLAGS)[16:18], sys.byteorder)
        if not flags & _UP:
            return None
        address = socket.inet_ntoa(ask(_ADDRESS)[20:24])
        if flags & _LOOPBACK:
            return Network(address, "127.255.255.255", is_loopback=True)
        return Network(address, socket.inet_ntoa(ask(_BROADCAST)[20:24]), is_loopback=False)
    except OSError:
        return None  # it has just gone, or speaks another protocol


def _routed_network(asking: socket.socket) -> tuple[Network, ...]:
    loopback = Network("127.0.0.1", "127.255.255.255", is_loopback=True)
    try:
        asking.connect(("192.0.2.1", 9))  # sends nothing; the kernel picks the route
    except OSError:
        return (loopback,)
    own = str(asking.getsockname()[0])
    return (loopback, Network(own, "255.255.255.255", is_loopback=False))
