"""One real Apache Cassandra node on a loopback address, as a process of its own."""

from __future__ import annotations

import ipaddress
import shutil
import signal
import socket
import ssl
import struct
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from balancebook.demo import node_files
from balancebook.demo.jars import JarSet, ensure_jars
from balancebook.demo.java import Java, find_java
from balancebook.demo.processes import (
    Mark,
    ServiceError,
    listener_on,
    make_folder,
    require_free,
    spawn,
    tail,
    wait_until,
)
from balancebook.errors import UsageError
from balancebook.store.admin import Admin

START_TIMEOUT_S = 90.0
STOP_GRACE_S = 30.0
_PROBE_TIMEOUT_S = 2.0

# Opcodes of the native protocol, v4 (its specification: 2.4).
_STARTUP, _AUTHENTICATE, _OPTIONS, _SUPPORTED, _AUTH_RESPONSE, _AUTH_SUCCESS = (
    0x01,
    0x03,
    0x05,
    0x06,
    0x0F,
    0x10,
)
_HEADER = 9
# [string map] of one pair (4.1.1), and [bytes] of a SASL PLAIN token (4.1.2).
_CQL_VERSION = b"\0\1" + b"\0\x0bCQL_VERSION" + b"\0\x053.0.0"
_DEFAULT_SUPERUSER = b"\0\0\0\x14" + b"\0cassandra\0cassandra"


@dataclass(frozen=True, slots=True)
class TlsServer:
    """The PKCS #12 keystore with which a node encrypts its clients' connections."""

    keystore: Path
    password: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeConfig:
    """Where a node lives and listens (loopback only, else UsageError). `home` holds its data, settings and logs.

    quick: it is up in seconds, in little memory; else it runs as a server does, with G1 and all of the compiler, which
    is what measuring needs. lasting: what was acknowledged survives a kill; else schema changes and writes wait for no
    disk, which halves the work of many small tables (SchemaConstants, cassandra.test.flush_local_schema_changes), and
    the node may not be started again. seed: the ADDRESS:PORT of a node whose ring it joins; it then has the same
    storage port.
    """

    home: Path
    address: str = "127.0.0.1"
    cql_port: int = 19042
    storage_port: int = 17000
    admin_port: int = 18778
    heap_mb: int = 512
    quick: bool = True
    lasting: bool = True
    seed: str | None = None
    auth: bool = False
    tls: TlsServer | None = None
    cluster_name: str = "balancebook"

    def __post_init__(self) -> None:
        try:
            loopback = ipaddress.IPv4Address(self.address).is_loopback
        except ValueError:
            loopback = False
        if not loopback:
            raise UsageError(
                f"The embedded database listens on loopback addresses only, not on {self.address}.",
                "Use 127.0.0.1.",
            )


class Node:
    """A node that was started here, or by an earlier command (`mark` names its process)."""

    def __init__(self, config: NodeConfig, mark: Mark | None = None) -> None:
        self.config = config
        self.mark = mark

    def start(self, timeout_s: float = START_TIMEOUT_S) -> None:
        """Start the node and return when CQL answers. Raises as `launch` and `wait_ready` do."""
        self.launch(find_java(), ensure_jars())
        self.wait_ready(timeout_s)

    def launch(self, java: Java, jars: JarSet) -> None:
        """Start the JVM and return at once. Raises UsageError if a port is busy or the home cannot be written."""
        home = make_folder(self.config.home)
        self._require_ports()
        # What a killed JVM left here (unpacked native libraries) is of no use to the next one.
        shutil.rmtree(home / "tmp", ignore_errors=True)
        make_folder(home / "tmp")
        node_files.write_files(self.config)
        argv = node_files.command_line(self.config, java, jars)
        self.mark = spawn(argv, home / "console.log", cwd=home)

    def wait_ready(self, timeout_s: float = START_TIMEOUT_S) -> None:
        """Return when CQL answers, and with passwords when the default superuser is let in.

        Raises ServiceError with the end of the log if the JVM exits or the time is up.
        """
        if self.mark is None:
            raise ServiceError("The embedded database was not started.", "Start it: balancebook up.")
        if wait_until(self._lets_in if self.config.auth else self.answers, self.mark, timeout_s):
            return
        what = f"did not answer within {timeout_s:.0f} s" if self.alive else "ended while starting"
        raise ServiceError(f"The embedded database {what}. The end of its log:\n{self.log_tail()}")

    def answers(self, timeout_s: float = _PROBE_TIMEOUT_S) -> bool:
        """Whether the CQL port answers a request (an open port alone proves nothing: a paused server has it too)."""
        return self._converse([(_OPTIONS, b"", _SUPPORTED)], timeout_s)

    def _lets_in(self) -> bool:
        """Whether the default superuser, whom a new node with passwords makes a moment after it answers, is let in."""
        steps = [(_STARTUP, _CQL_VERSION, _AUTHENTICATE), (_AUTH_RESPONSE, _DEFAULT_SUPERUSER, _AUTH_SUCCESS)]
        return self._converse(steps, _PROBE_TIMEOUT_S)

    def _converse(self, steps: Sequence[tuple[int, bytes, int]], timeout_s: float) -> bool:
        """Whether each request (opcode, body) is answered by a message of the opcode expected."""
        try:
            with socket.create_connection((self.config.address, self.config.cql_port), timeout_s) as plain:
                channel = self._encrypted(plain) if self.config.tls else plain
                for opcode, body, expected in steps:
                    channel.sendall(struct.pack(">BBhBi", 4, 0, 0, opcode, len(body)) + body)
                    answer = channel.recv(4096)
                    if len(answer) < _HEADER or answer[4] != expected:
                        return False
        except OSError:
            return False
        return True

    def stop(self) -> None:
        """Drain and end (SIGTERM, then SIGKILL after a bound). Nothing happens if it has ended."""
        if self.mark:
            self.mark.end(STOP_GRACE_S)

    def kill(self) -> None:
        """SIGKILL, as a crash would. Nothing happens if it has ended."""
        if self.mark:
            self.mark.kill()

    def pause(self) -> None:
        """SIGSTOP: the node keeps its connections and answers nothing. Returns once it stands still."""
        if self.mark:
            self.mark.send(signal.SIGSTOP)
            wait_until(lambda: self.paused, self.mark, _PROBE_TIMEOUT_S)

    def resume(self) -> None:
        """SIGCONT."""
        if self.mark:
            self.mark.send(signal.SIGCONT)

    @property
    def alive(self) -> bool:
        """Whether the process that was started exists (a recycled pid does not count; a paused process does)."""
        return self.mark is not None and self.mark.alive

    @property
    def paused(self) -> bool:
        """Whether the process is stopped by SIGSTOP."""
        return self.mark is not None and self.mark.paused

    def admin(self) -> Admin:
        """The node's administration over HTTP: a context manager to close."""
        return Admin(node_files.admin_url(self.config))

    def find_running(self) -> Mark | None:
        """The JVM that already runs on this home and port, though no state file knows it."""
        holder = listener_on(self.config.storage_port)
        with suppress(psutil.Error):
            if holder and f"-Dcassandra.storagedir={self.config.home}" in holder.cmdline():
                return Mark.of(holder.pid)
        return None

    def log_tail(self) -> str:
        """The last lines that the JVM and the server wrote."""
        console, system = self.config.home / "console.log", self.config.home / "system.log"
        return "\n".join((tail(console, 5), tail(system, 10)))

    def _encrypted(self, plain: socket.socket) -> ssl.SSLSocket:
        # Only "does it answer" is asked and nothing is sent that matters, so the certificate is not verified here.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context.wrap_socket(plain)

    def _require_ports(self) -> None:
        config = self.config
        for port, what, variable in (
            (config.cql_port, "CQL", "BALANCEBOOK_PORT"),
            (config.storage_port, "the database's own traffic", "BALANCEBOOK_STORAGE_PORT"),
            (config.admin_port, "its administration", "BALANCEBOOK_ADMIN_PORT"),
        ):
            require_free(config.address, port, what=what, variable=variable)
