"""Acceptor: owns a listening socket and deals connections to processors in turn.

(``Acceptor`` in Kafka's ``SocketServer.scala``.) The port is open before requests are
served, so that port 0 can be read back early. Each processor takes over at most
``NEW_CONNECTIONS`` waiting sockets; when all are full the acceptor stops accepting, and
the kernel's backlog holds the rest. The quotas can make it wait, too.
"""

import asyncio
import logging
import socket
from collections.abc import Sequence

from salon.broker.endpoint import Endpoint
from salon.broker.errors import SettingError
from salon.broker.processor import NEW_CONNECTIONS, Processor
from salon.broker.rates import Blocked

log = logging.getLogger(__name__)


class Acceptor:
    """One listener.

    Args:
        endpoint: its address and its quotas; ``told`` is filled in.
        processors: those of this listener.
        backlog: ``socket.listen.backlog.size``.
        send_buffer_bytes: SO_SNDBUF, -1 for the system's.
        receive_buffer_bytes: SO_RCVBUF, -1 for the system's.

    Raises:
        SettingError: theirs; the address is taken or not ours.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        processors: Sequence[Processor],
        *,
        backlog: int,
        send_buffer_bytes: int,
        receive_buffer_bytes: int,
    ) -> None:
        self._endpoint = endpoint
        self._quotas = endpoint.quotas
        self._processors = processors
        self._send_buffer_bytes = send_buffer_bytes
        self._loop = asyncio.get_running_loop()
        self._turn = 0
        self.blocked = Blocked()
        """How long no processor had a place for a new connection."""
        host, port = endpoint.listener.host, endpoint.listener.port
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_STREAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if receive_buffer_bytes > 0:  # inherited by accepted sockets
            self._socket.setsockopt(
                socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes
            )
        self._socket.setblocking(False)
        try:
            self._socket.bind((host, port))
            self._socket.listen(backlog)
        except OSError as error:
            self._socket.close()
            raise SettingError(
                f"cannot listen on {host}:{port}: {error.strerror}"
            ) from error
        self.host, self.port = self._socket.getsockname()[:2]

    def start(self) -> None:
        """Begin to accept."""
        self._loop.add_reader(self._socket.fileno(), self._accept)

    def close(self) -> None:
        """Accept nothing more and free the port."""
        if self._socket.fileno() >= 0:
            self._stop()
            self._socket.close()

    def _accept(self) -> None:
        name = self._endpoint.name
        for _ in range(NEW_CONNECTIONS):
            if not self._quotas.has_slot(name):
                self._stop()
                self._quotas.when_slot(self._go_on)
                return
            try:
                sock, address = self._socket.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:  # out of descriptors: wait, do not spin
                log.error("cannot accept: %s", error)
                self._pause(1.0)
                return
            self._prepare(sock)
            delay = self._quotas.delay(name)
            if not self._quotas.admit(name, address[0]):
                sock.close()  # too many from there: the peer sees that it is refused
            elif delay > 0:
                self._stop()
                self._loop.call_later(delay, self._offer_again, sock, address[:2])
                return
            elif not self._assign(sock, address[:2]):
                self._stop()
                self.blocked.begin()
                self._loop.call_soon(self._offer_again, sock, address[:2])
                return

    def _prepare(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._send_buffer_bytes > 0:
            sock.setsockopt(
                socket.SOL_SOCKET, socket.SO_SNDBUF, self._send_buffer_bytes
            )

    def _assign(self, sock: socket.socket, address: tuple[str, int]) -> bool:
        """Offer ``sock`` to every processor once, beginning with the next in turn."""
        for _ in self._processors:
            processor = self._processors[self._turn]
            self._turn = (self._turn + 1) % len(self._processors)
            if processor.accept(sock, address):
                return True
        return False

    def _offer_again(self, sock: socket.socket, address: tuple[str, int]) -> None:
        """One socket is held: accept nothing until a processor has a place for it."""
        if self._socket.fileno() < 0:
            self.blocked.end()
            self._quotas.release(self._endpoint.name, address[0])
            sock.close()
        elif self._assign(sock, address):
            self.blocked.end()
            self._go_on()
        else:
            self.blocked.begin()
            self._loop.call_soon(self._offer_again, sock, address)

    def _stop(self) -> None:
        self._loop.remove_reader(self._socket.fileno())

    def _pause(self, seconds: float) -> None:
        self._stop()
        self._loop.call_later(seconds, self._go_on)

    def _go_on(self) -> None:
        if self._socket.fileno() >= 0:
            self.start()
