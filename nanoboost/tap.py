"""`twistd nanoboost`: the options of a node, and the service that runs one in this process.

The only module that meets the global reactor.  **What is wrong is found before the daemon detaches
from the terminal**, as far as it can be: options, credential, NAS, and the port are checked first,
and each complaint is one line that says what to do.
"""

import errno
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

from attrs import evolve
from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.task import react as _react
from twisted.logger import globalLogPublisher
from twisted.python.failure import Failure
from twisted.python.usage import Options as UsageOptions
from twisted.python.usage import UsageError

from nanoboost import __version__
from nanoboost.cli.lan import check_founding
from nanoboost.config import DEFAULT_PORT, PROFILES, NodeConfig
from nanoboost.errors import UserError
from nanoboost.identity import IdentityTaken
from nanoboost.ids import Address
from nanoboost.net.credential import Credential, load
from nanoboost.node import Node, compose
from nanoboost.runtime import Runtime
from nanoboost.world.host import networks
from nanoboost.world.journal import Journal, RaftJournal
from nanoboost.world.real import check_database, is_in_use, monotonic, real_runtime
from nanoboost.world.store import StoreError

LOOPBACK = "127.0.0.1"
AUTO = "auto"
"""`--join auto`: there is a cluster, and its beacon tells where."""

NAS_CHECK_S = 15.0
"""A NAS that has not answered by then is called hung; nothing of the daemon waits for it."""


def default_state_dir() -> str:
    """Where a node keeps its own state: `$XDG_STATE_HOME/nanoboost`."""
    base = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local/state")
    return str(Path(base) / "nanoboost")


def default_credential() -> str:
    """Where the cluster's credential lies: `$XDG_CONFIG_HOME/nanoboost/cluster.pem`."""
    base = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return str(Path(base) / "nanoboost/cluster.pem")


def parse_address(text: str, default_port: int = DEFAULT_PORT) -> Address:
    """`HOST`, `HOST:PORT` or `[IPV6]:PORT`.  Raises `UserError`."""
    host, colon, port = text.rpartition(":")
    if not colon or (":" in host and not host.startswith("[")):
        host, port = text, str(default_port)
    host = host.removeprefix("[").removesuffix("]")
    if not host or not port.isdecimal() or not 0 <= int(port) < 65536:
        raise UserError(f"{text!r} is no address: write HOST or HOST:PORT")
    return Address(host, int(port))


def _resolved(address: Address) -> Address:
    """The address with its host as a number; gossip sends datagrams and resolves no names.  IPv4
    if there is one: a node listens there unless it is told otherwise."""
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise UserError(f"{address.host}: {error.strerror}; is the name right?") from None
    numbers = sorted(found, key=lambda each: each[0] != socket.AF_INET)
    return Address(str(numbers[0][4][0]), address.port)


def _own_host(listen: Address) -> str:
    """How others reach this machine when it listens on all its addresses."""
    if listen.host not in ("0.0.0.0", "::"):
        return listen.host
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing; the kernel picks the route
            return str(probe.getsockname()[0])
        except OSError:  # no default route: a LAN without a router, or a Pi that is still booting
            around = (each.address for each in networks() if not each.is_loopback)
            return next(around, LOOPBACK)


class Options(UsageOptions):
    """What `twistd nanoboost` and `nanoboost up` take."""

    optParameters = [  # noqa: RUF012 - Twisted's name and kind
        ["name", None, None, "How people call this node (default: the host name)."],
        ["state", None, None, "The node's own directory, never on the NAS."],
        ["nas", None, None, "The NAS: a directory that all nodes share (required)."],
        ["listen", None, None, f"HOST:PORT for TCP and UDP (default: 0.0.0.0:{DEFAULT_PORT})."],
        ["advertise", None, None, "The host that other nodes reach this one by."],
        ["profile", None, "lan", "Timing: lan, pi, slow or local; the same on all nodes."],
        ["slots", None, None, "How many tasks run at a time (default: one a core)."],
        ["credential", None, None, "The cluster's credential, made by `nanoboost init`."],
    ]
    synopsis = "[options]"
    compData: dict[str, object] = {}  # noqa: RUF012 - read by Twisted's completion
    opt_h = UsageOptions.opt_help

    def __init__(self) -> None:
        super().__init__()
        self["join"] = []
        self["label"] = []

    def opt_join(self, address: str) -> None:
        """HOST:PORT of any node of the cluster to join, or `auto`: wait until a node of it is heard
        on the network; may be given several times."""
        self["join"].append(address)

    def opt_label(self, label: str) -> None:
        """A label that tasks may ask for (`gpu`); may be given several times."""
        self["label"].append(label)

    def opt_version(self) -> None:
        """Display the version of NanoBoost and exit."""
        print(f"nanoboost {__version__}")
        sys.exit(0)

    def postOptions(self) -> None:
        """Check what can be checked; Twisted prints a `UsageError` on one line."""
        self.umask = os.umask(0o077)
        os.umask(self.umask)
        try:
            self.config = self._node_config()
            self.credential = load(self["credential"] or default_credential())
            check_nas(self.config.nas_dir, self.credential.cluster)
            check_port(self.config.listen)
            check_state(self.config.state_dir)
            check_database(self.config.state_dir, self.credential.cluster)
            check_founding(self.config, self.credential)
        except UserError as error:
            raise UsageError(str(error)) from None

    def _node_config(self) -> NodeConfig:
        if not self["nas"]:
            raise UserError("which directory is the NAS?  Say --nas DIR")
        if self["profile"] not in PROFILES:
            raise UserError(f"profile {self['profile']!r}: choose one of {', '.join(PROFILES)}")
        slots = self["slots"]
        if slots is not None and not str(slots).isdecimal():
            raise UserError(f"--slots {slots!r} is not a whole number")
        listen = _resolved(parse_address(self["listen"] or f"0.0.0.0:{DEFAULT_PORT}"))
        advertise = self["advertise"]
        own = _resolved(Address(advertise, 0)).host if advertise else _own_host(listen)
        if self["join"] and own == LOOPBACK != listen.host:
            raise UserError(
                "this machine is on no network yet, so no other node could reach this one: start "
                "it when there is one, or say --advertise HOST"
            )
        return NodeConfig(
            name=self["name"] or socket.gethostname().split(".")[0] or "node",
            state_dir=os.path.abspath(self["state"] or default_state_dir()),
            nas_dir=os.path.abspath(self["nas"]),
            listen=listen,
            seeds=tuple(_resolved(parse_address(seed)) for seed in self["join"] if seed != AUTO),
            waits=AUTO in self["join"],
            profile=PROFILES[self["profile"]],
            labels=tuple(self["label"]),
            slots=len(os.sched_getaffinity(0)) if slots is None else int(slots),
            advertise_host=own,
        )


def check_nas(nas_dir: str, cluster: str) -> None:
    """Raise `UserError` unless `nas_dir` is this cluster's NAS.

    The look is taken by a process of its own: a dead NFS server would hold ours for ever.
    """
    program = "import sys; from nanoboost.nas.files import inspect; print(inspect(*sys.argv[1:]))"
    command = [sys.executable, "-I", "-c", program, nas_dir, cluster]
    try:
        found = subprocess.run(
            command, capture_output=True, text=True, timeout=NAS_CHECK_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise UserError(f"{nas_dir} does not answer: is the NAS down?") from None
    if found.returncode != 0:
        last = (found.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise UserError(f"{nas_dir} cannot be looked at: {last}")
    if found.stdout.strip():
        raise UserError(found.stdout.strip())


def check_port(listen: Address) -> None:
    """Raise `UserError` if another program has the port.  (It may still come to take it before the
    node does: then the node's log tells.)"""
    family = socket.AF_INET6 if ":" in listen.host else socket.AF_INET
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(family, kind) as probe:
            if kind == socket.SOCK_STREAM:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((listen.host, listen.port))
            except OSError as error:
                raise UserError(_cannot_bind(listen, error)) from None


def _cannot_bind(listen: Address, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"port {listen.port} is in use on {listen.host}: stop the program that has it "
            "(`ss -lntup` shows which), or choose another port with --listen"
        )
    return f"cannot listen on {listen}: {error.strerror}; choose another with --listen"


def check_state(state_dir: str) -> None:
    """Raise `UserError` if a node runs on this state directory."""
    if is_in_use(state_dir):
        holder = (Path(state_dir) / "lock").read_text(errors="replace").strip()
        raise UserError(
            f"state directory {state_dir} is in use by process {holder or '(unknown)'}: stop it, "
            "or choose another with --state"
        )


class NodeService(Service):
    """Runs one node in this process, and ends the process when the node wants to."""

    def __init__(
        self, config: NodeConfig, credential: Credential, umask: int, reactor: Any
    ) -> None:
        self._config = config
        self._umask = umask
        self._credential = credential
        self._reactor = reactor
        self._node: Node | None = None
        self.exit_status = 0

    def startService(self) -> None:
        """Open the state directory and start the node."""
        super().startService()
        # A daemon of twistd's has umask 077, and others could not read the results on the NAS.
        os.umask(self._umask)
        try:
            runtime = real_runtime(self._reactor, self._config.state_dir, self._credential)
            self._journal = Journal(self._config.state_dir, self._config.name, self._reactor)
            globalLogPublisher.addObserver(self._journal)
            record = RaftJournal(self._config.state_dir, self._config.name, self._reactor)
            self._raft_journal, runtime = record, evolve(runtime, record=record)
        except UserError as error:
            self._end(2, str(error))
            return
        self._start_node(runtime)

    def _start_node(self, runtime: Runtime) -> None:
        try:
            self._node = compose(self._config, runtime, self._node_ended)
            self._node.startService()
        except UserError as error:
            self._node = None
            self._end(2, str(error))
            return
        self._note_address(self._node.address)

    async def _start_again(self) -> None:
        """The node has become another one: begin anew on what its store now says."""
        node, self._node = self._node, None
        if node is None:
            return
        await node.stopService()
        if self.running:
            self._start_node(node.runtime)
        else:
            await node.runtime.store.close()

    def stopService(self) -> "Deferred[None]":
        """Leave in good order: what runs here starts again elsewhere at once."""
        super().stopService()
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        node, self._node = self._node, None
        if node is None:
            return
        self._address_file.unlink(missing_ok=True)
        if self.exit_status == 0:
            await node.leave(drain=False)
        await node.stopService()
        await node.runtime.store.close()
        globalLogPublisher.removeObserver(self._journal)
        self._journal.close()
        self._raft_journal.close()

    @property
    def _address_file(self) -> Path:
        return Path(self._config.state_dir) / "address"

    def _note_address(self, address: Address) -> None:
        """Leave word for the command line on this machine of where the node is."""
        self._address_file.write_text(f"{address}\n")

    def _node_ended(self, failure: Failure | None) -> None:
        if failure is None:
            self._end(0, "")
        elif failure.check(IdentityTaken):
            Deferred.fromCoroutine(self._start_again()).addErrback(self._node_ended)
        elif failure.check(StoreError):
            self._end(
                74,
                f"stopped because its own disk failed ({failure.getErrorMessage()}): look at the "
                "disk; a node that starts again says if its state is damaged",
            )
        else:
            self._end(70, f"stopped by a broken invariant: {failure.getErrorMessage()}")

    def _end(self, status: int, reason: str) -> None:
        self.exit_status = status
        if status:
            self._reactor.addSystemEventTrigger("after", "shutdown", _exit, status, reason)
        self._reactor.callWhenRunning(self._stop_reactor)

    def _stop_reactor(self) -> None:
        if self._reactor.running:
            self._reactor.stop()


def _exit(status: int, reason: str) -> None:
    """Say why, as the last line of all, and exit: twistd would with 0, and whoever supervises us
    must see that this was no clean end."""
    print(f"nanoboost: {reason}", file=sys.stderr, flush=True)
    os._exit(status)


def makeService(options: Options) -> Service:
    """What `twistd nanoboost` runs (Twisted's name for it)."""
    return NodeService(options.config, options.credential, options.umask, the_reactor())


def the_reactor() -> Any:
    """The global reactor, counting monotonic seconds: a machine without a clock battery jumps
    decades at its first NTP answer, and timers on wall time would freeze or fire at once."""
    from twisted.internet import reactor  # noqa: TID251 - the one place

    return monotonic(reactor)


def react(main: Callable[[Any], Coroutine[Any, Any, None]]) -> None:
    """Run `main(reactor)` to its end in the global reactor, for the command line."""
    _react(lambda reactor: Deferred.fromCoroutine(main(reactor)), (), the_reactor())


def run_twistd(arguments: Sequence[str]) -> None:
    """Run `twistd` with these arguments in this process; never returns.

    Hides that Debian 12 calls the program `twistd3`.
    """
    from twisted.scripts.twistd import run

    sys.argv = ["twistd", *arguments]
    run()
    sys.exit(0)
