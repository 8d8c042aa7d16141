"""Sockets, as `twisted.internet.tcp` and `udp` use them, over the simulated network.

**Each call answers as Linux does**: the same value, or `OSError` with the same number.  Which
answers those are is held against real sockets by the parity test.
"""

import errno
import functools
import os
import socket
from collections import deque
from typing import Any, Protocol

from simulations.net.network import LOOPBACK, Kernel, Where
from simulations.net.stream import (
    ACK,
    DATA,
    FIN,
    RESET,
    SYN,
    SYN_ACK,
    Pipe,
)

SEND_BYTES_MAX = 256 << 10
RECEIVE_BYTES_MAX = 256 << 10
LISTEN_BACKLOG_MAX = 128
DATAGRAM_BYTES_MAX = 65507
DATAGRAMS_MAX = 1024


_text = functools.cache(os.strerror)


def _error(number: int) -> OSError:
    return OSError(number, _text(number))  # becomes BlockingIOError and so on by its number


class Holder(Protocol):
    """The process that a socket belongs to."""

    def woken(self, fd: int) -> None:
        """There may be something to do with this descriptor."""


class _Socket:
    """What both kinds have in common."""

    def __init__(self, kernel: Kernel, holder: Holder) -> None:
        self.kernel = kernel
        self.holder = holder
        self.fd = kernel.new_fd(self)
        self.local: Where = ("0.0.0.0", 0)

    def fileno(self) -> int:
        """The descriptor; -1 once closed."""
        return self.fd

    def setblocking(self, flag: bool) -> None:
        """It never blocks."""

    def setsockopt(self, level: int, option: int, value: Any) -> None:
        """Options change nothing here, but for what a subclass knows."""

    def getsockname(self) -> Where:
        """The own address and port."""
        return self.local

    def _wake(self) -> None:
        if self.fd >= 0:
            self.holder.woken(self.fd)

    def _forget(self) -> None:
        self.kernel.sockets.pop(self.fd, None)
        self.fd = -1


class StreamSocket(_Socket):
    """A TCP socket: new, listening, connecting, or connected."""

    def __init__(self, kernel: Kernel, holder: Holder) -> None:
        super().__init__(kernel, holder)
        self.is_gone = False
        """Whether the kernel knows this connection no more."""
        self.out: Pipe | None = None
        self.into: Pipe | None = None
        self._connected = False
        self._error = 0
        self._received = bytearray()
        self._fin_came = False
        self._fin_sent = False
        self._reset = False
        self._linger = True
        self._peer: Where = ("", 0)
        self._accepting: deque[StreamSocket] | None = None
        self._listener: StreamSocket | None = None
        self._wants_room = False

    # --- listening -------------------------------------------------------------------------------

    def bind(self, where: Where) -> None:
        """Take an address."""
        host, port = where
        if host not in ("", "0.0.0.0", LOOPBACK, self.kernel.ip):
            raise _error(errno.EADDRNOTAVAIL)
        if port and port in self.kernel.listeners:
            raise _error(errno.EADDRINUSE)
        self.local = (host or "0.0.0.0", port or self.kernel.new_port())

    def listen(self, backlog: int) -> None:
        """Take connections."""
        self._accepting = deque()
        self.kernel.listeners[self.local[1]] = self

    def knocked(self, pipe: Pipe) -> "StreamSocket | None":
        """A SYN has come over `pipe`: the new connection, or None if nobody wants it."""
        if self._accepting is None or self.is_gone:
            return None
        made = StreamSocket(self.kernel, self.holder)
        made.local = (pipe.source._peer[0], self.local[1])
        made._peer = pipe.source.local
        made._listener = self
        made.into = pipe
        made.out = Pipe(made, pipe.source, pipe.source.kernel, pipe.source.local[1])
        pipe.source.into = made.out
        made.out.send(SYN_ACK)
        return made

    def accept(self) -> "tuple[StreamSocket, Where]":
        """The next connection."""
        if self._accepting is None:
            raise _error(errno.EINVAL)
        if not self._accepting:
            raise _error(errno.EWOULDBLOCK)
        made = self._accepting.popleft()
        made._listener = None
        return made, made._peer

    @property
    def is_unborn(self) -> bool:
        """Whether it is a connection that no program has accepted: it has no descriptor yet."""
        return self._listener is not None

    # --- connecting ------------------------------------------------------------------------------

    def connect_ex(self, where: Where) -> int:
        """Begin to connect, or tell how far that is."""
        if self._connected:
            return errno.EISCONN
        if self.out is not None:
            return errno.EALREADY
        target = self.kernel.network.find(self.kernel, where[0])
        if target is None:
            return errno.EHOSTUNREACH
        mine = where[0] if target is self.kernel else self.kernel.ip
        self.local = (mine, self.local[1] or self.kernel.new_port())
        self._peer = where
        self.out = Pipe(self, None, target, where[1])
        self.out.send(SYN)
        return errno.EINPROGRESS

    def getpeername(self) -> Where:
        """The other end's address and port."""
        if not self._connected:
            raise _error(errno.ENOTCONN)
        return self._peer

    def getsockopt(self, level: int, option: int, size: int = 0) -> int:
        """`SO_ERROR` tells the pending error, once."""
        if (level, option) == (socket.SOL_SOCKET, socket.SO_ERROR):
            number, self._error = self._error, 0
            return number
        return 0

    def setsockopt(self, level: int, option: int, value: Any) -> None:
        """`SO_LINGER` makes `close` abort."""
        if (level, option) == (socket.SOL_SOCKET, socket.SO_LINGER):
            self._linger = False

    # --- bytes -----------------------------------------------------------------------------------

    @property
    def has_room(self) -> bool:
        """Whether more may arrive."""
        return len(self._received) < RECEIVE_BYTES_MAX

    @property
    def is_readable(self) -> bool:
        """Whether `recv` or `accept` would have an answer."""
        if self._accepting is not None:
            return bool(self._accepting)
        return bool(self._received or self._fin_came or self._reset or self._error)

    @property
    def is_writable(self) -> bool:
        """Whether `send` would have an answer."""
        if self._reset or self._error or (self._fin_sent and self._connected):
            return True
        return self._connected and self.out is not None and self.out.queued_bytes < SEND_BYTES_MAX

    @property
    def is_hung_up(self) -> bool:
        """Whether nothing can come or go any more."""
        return self._reset or (self._fin_came and self._fin_sent)

    @property
    def _free_bytes(self) -> int:
        assert self.out is not None
        return SEND_BYTES_MAX - self.out.queued_bytes

    def recv(self, size: int) -> bytes:
        """What has come; b"" at the end."""
        if self._received:
            data = bytes(self._received[:size])
            del self._received[:size]
            if self.into is not None:
                self.into.room()
            return data
        if self._fin_came:
            return b""  # also if a reset followed
        if self._error:
            number, self._error = self._error, 0
            raise _error(number)
        if self._reset:
            return b""
        if not self._connected:
            raise _error(errno.ENOTCONN)
        raise _error(errno.EWOULDBLOCK)

    def send(self, data: bytes) -> int:
        """Take some of `data`; how many bytes."""
        if self._error:
            number, self._error = self._error, 0
            raise _error(number)
        if self._reset or self._fin_sent:
            raise _error(errno.EPIPE)
        if not self._connected:
            raise _error(errno.ENOTCONN)
        taken = bytes(data[: max(0, self._free_bytes)])
        if not taken:
            raise _error(errno.EWOULDBLOCK)
        assert self.out is not None
        self.out.send(DATA, taken)
        self._wants_room = self._free_bytes <= 0
        return len(taken)

    def shutdown(self, how: int) -> None:
        """Say the end (`SHUT_WR`), read no more (`SHUT_RD`), or both."""
        if not self._connected or self._reset:
            raise _error(errno.ENOTCONN)
        if how in (socket.SHUT_WR, socket.SHUT_RDWR) and not self._fin_sent:
            self._fin_sent = True
            assert self.out is not None
            self.out.send(FIN)

    def close(self) -> None:
        """Let go.  What was sent still arrives; unread bytes, or no lingering, make it a reset."""
        if self.is_gone:
            return
        if self._accepting is not None:
            self._stop_listening()
        elif self.out is not None:
            if not self._connected:
                self.out.give_up()
            elif self._received or not self._linger:
                self.out.abort()
            elif not self._fin_sent and not self._reset:
                self.out.send(FIN)
        self.is_gone = True
        self._forget()

    def vanish(self) -> None:
        """The machine has lost its power: nobody is told."""
        if self._accepting is not None:
            self.kernel.listeners.pop(self.local[1], None)
        if self.out is not None:
            self.out.give_up()
        self.is_gone = True
        self._forget()

    def _stop_listening(self) -> None:
        if self.kernel.listeners.get(self.local[1]) is self:
            del self.kernel.listeners[self.local[1]]
        for waiting in self._accepting or ():
            waiting._linger = False
            waiting.close()

    # --- what the pipes say ----------------------------------------------------------------------

    def sent_some(self) -> None:
        """A segment of ours has left.  Some have no bytes and make no room: who waits for room
        waits on."""
        if self._wants_room and self.is_writable:
            self._wants_room = False
            self._wake()

    def arrived(self, kind: str, data: bytes) -> None:
        """A segment has come."""
        if kind == SYN_ACK:
            self._connected = True
            assert self.out is not None
            self.out.send(ACK)
        elif kind == ACK:
            self._accepted()
        elif kind == RESET:
            self._be_reset()
        elif kind == FIN:
            self._fin_came = True
        else:
            self._received += data
        self._wake()

    def _accepted(self) -> None:
        """The client knows that we are connected: whoever listens may have us."""
        self._connected = True
        listener = self._listener
        if listener is None or listener.is_gone or listener._accepting is None:
            self._linger = False
            self.close()
        elif len(listener._accepting) < LISTEN_BACKLOG_MAX:
            listener._accepting.append(self)
            listener._wake()

    def _be_reset(self) -> None:
        if self.is_gone or self._reset:
            return
        self._reset = True
        self._error = errno.ECONNRESET if self._connected else errno.ECONNREFUSED
        if self.out is not None:
            self.out.give_up()


class UdpSocket(_Socket):
    """A UDP socket."""

    is_unborn = False

    def __init__(self, kernel: Kernel, holder: Holder) -> None:
        super().__init__(kernel, holder)
        self._received: deque[tuple[bytes, Where]] = deque()

    is_hung_up = False
    is_writable = True

    @property
    def is_readable(self) -> bool:
        """Whether a datagram waits."""
        return bool(self._received)

    def bind(self, where: Where) -> None:
        """Take an address."""
        host, port = where
        if host not in ("", "0.0.0.0", LOOPBACK, self.kernel.ip):
            raise _error(errno.EADDRNOTAVAIL)
        if port and port in self.kernel.datagram_ports:
            raise _error(errno.EADDRINUSE)
        self.local = (host or "0.0.0.0", port or self.kernel.new_port())
        self.kernel.datagram_ports[self.local[1]] = self

    def getsockopt(self, level: int, option: int, size: int = 0) -> int:
        """No option is ever set."""
        return 0

    def sendto(self, data: bytes, where: Where) -> int:
        """Send a datagram."""
        if len(data) > DATAGRAM_BYTES_MAX:
            raise _error(errno.EMSGSIZE)
        self.kernel.network.datagram(self.kernel, self.local[1], where, bytes(data))
        return len(data)

    def recvfrom(self, size: int) -> tuple[bytes, Where]:
        """The next datagram, cut off at `size`."""
        if not self._received:
            raise _error(errno.EWOULDBLOCK)
        data, where = self._received.popleft()
        return data[:size], where

    def arrived(self, data: bytes, where: Where) -> None:
        """A datagram has come; with too many waiting it is lost."""
        if len(self._received) < DATAGRAMS_MAX:
            self._received.append((data, where))
            self._wake()

    def close(self) -> None:
        """Let go of the port."""
        if self.kernel.datagram_ports.get(self.local[1]) is self:
            del self.kernel.datagram_ports[self.local[1]]
        self._forget()

    vanish = close
