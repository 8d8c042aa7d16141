"""What a module may not do if a run of it is to be a function of its seed: rules over the AST.

**Two families**: ambient calls (clock, entropy, threads, sockets, the global reactor behind
Twisted's defaults), and orders that differ between two processes (a set that is gone through,
`hash`, `id`).  Types are guessed from annotations and assignments of the same file, so the rules
see what people write, not all that can be written; the sweep's second process sees the rest.
"""

import ast
import itertools
from collections.abc import Iterator

from attrs import frozen

AMBIENT = {
    "time": "time time_ns monotonic monotonic_ns perf_counter perf_counter_ns process_time sleep",
    "datetime.datetime": "now utcnow today",
    "datetime.date": "today",
    "random": "random randrange randint choice choices shuffle sample uniform gauss seed"
    " getrandbits expovariate SystemRandom",
    "os": "urandom fork system popen getrandom getpid",
    "secrets": "*",
    "uuid": "uuid1 uuid4",
    "tempfile": "*",
    "socket": "socket create_connection getaddrinfo gethostname gethostbyname",
    "threading": "Thread Timer",
    "subprocess": "*",
    "asyncio": "*",
    "twisted.internet": "reactor",
    "twisted.internet.threads": "deferToThread blockingCallFromThread callMultipleInThread",
    "twisted.internet.task": "cooperate coiterate Cooperator react",
    "twisted.internet.utils": "getProcessOutput getProcessValue getProcessOutputAndValue",
    "twisted.internet.protocol": "ReconnectingClientFactory",
    "twisted.protocols.policies": "TimeoutMixin TimeoutProtocol ThrottlingFactory",
    "twisted.application.internet": "TCPServer TCPClient UDPServer UNIXServer TimerService",
    "twisted.application.strports": "service",
    "twisted.python.log": "*",
}
"""Names that mean the real world, by module; `*` is all of it."""

NEEDS = {
    "twisted.application.internet.ClientService": "clock",
    "twisted.internet.ssl.wrapClientTLS": "clock",
    "twisted.protocols.tls.TLSMemoryBIOFactory": "clock",
}
"""Calls that take the global reactor unless they are given an argument of this name."""

SET_TYPES = frozenset({"set", "frozenset", "Set", "AbstractSet", "MutableSet", "FrozenSet"})
SET_METHODS = frozenset({"union", "intersection", "difference", "symmetric_difference"})
ORDER_FREE = frozenset(
    {"sorted", "set", "frozenset", "len", "sum", "any", "all", "bool", "Counter"}
)
"""What may be given a set, or a generator over one: the answer does not tell the order.  (`min` and
`max` are here only without a key: equals are told apart then.)"""
IN_ORDER = frozenset(
    {"list", "tuple", "iter", "next", "enumerate", "zip", "map", "filter", "deque"}
)
SET_OPERATORS = (ast.BitOr, ast.BitAnd, ast.Sub, ast.BitXor)


@frozen
class Complaint:
    """What is wrong, and where."""

    line: int
    text: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.text}"


def complaints(tree: ast.Module) -> list[Complaint]:
    """All that the rules say against a module."""
    found = [*_Ambient(tree).complaints(), *_Orders(tree).complaints()]
    return sorted(found, key=lambda each: each.line)


class _Ambient:
    """The first family."""

    def __init__(self, tree: ast.Module) -> None:
        self._tree = tree
        self._full: dict[str, str] = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                for each in node.names:
                    name = each.asname or each.name.partition(".")[0]
                    self._full[name] = each.name if each.asname else name
            elif isinstance(node, ast.ImportFrom):
                for each in node.names:
                    self._full[each.asname or each.name] = f"{node.module}.{each.name}"

    def _name(self, node: ast.expr) -> str:
        """The full name of what an expression names, "" if it is no name of a module."""
        if isinstance(node, ast.Name):
            return self._full.get(node.id, "")
        if isinstance(node, ast.Attribute):
            owner = self._name(node.value)
            return f"{owner}.{node.attr}" if owner else ""
        return ""

    def complaints(self) -> Iterator[Complaint]:
        """Uses of the real world."""
        clocked = self._clocked()
        for node in ast.walk(self._tree):
            if isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Load):
                owner, _, name = self._name(node).rpartition(".")
                banned = AMBIENT.get(owner, "").split()
                if name in banned or banned == ["*"]:
                    yield Complaint(node.lineno, f"{owner}.{name} is of the real world")
            elif isinstance(node, ast.Call):
                yield from self._call(node, clocked)

    def _call(self, node: ast.Call, clocked: frozenset[str]) -> Iterator[Complaint]:
        name = self._name(node.func)
        given = {each.arg for each in node.keywords}
        if name in NEEDS and NEEDS[name] not in given:
            yield Complaint(node.lineno, f"{name} without {NEEDS[name]}= takes the global reactor")
        if name == "random.Random" and not node.args:
            yield Complaint(node.lineno, "an unseeded Random draws from the system's entropy")
        if name == "twisted.internet.task.LoopingCall" and ast.dump(node) not in clocked:
            yield Complaint(node.lineno, "a LoopingCall whose .clock is not set at once")

    def _clocked(self) -> frozenset[str]:
        """LoopingCalls that are given a clock in the statement after the one that makes them."""
        found = []
        for node in ast.walk(self._tree):
            body = getattr(node, "body", None)
            if not isinstance(body, list):
                continue
            for one, after in itertools.pairwise(body):
                if isinstance(one, ast.Assign | ast.AnnAssign) and isinstance(after, ast.Assign):
                    target = after.targets[0]
                    if isinstance(target, ast.Attribute) and target.attr == "clock":
                        found.append(ast.dump(one.value) if one.value else "")
        return frozenset(found)


class _Orders:
    """The second family."""

    def __init__(self, tree: ast.Module) -> None:
        self._tree = tree
        self._sets: dict[str, None] = {}
        """Names and attributes (`.name`) that hold sets, and functions (`name()`) that give one."""
        self._free: dict[ast.AST, None] = {}
        self._parents = {
            child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)
        }
        for _ in range(2):  # what is assigned from what was found the first time
            for node in ast.walk(tree):
                self._learn(node)

    def _learn(self, node: ast.AST) -> None:
        if isinstance(node, ast.AnnAssign | ast.arg) and node.annotation is not None:
            if _names_a_set(node.annotation):
                self._hold(node.target if isinstance(node, ast.AnnAssign) else node)
        elif isinstance(node, ast.FunctionDef) and node.returns is not None:
            if _names_a_set(node.returns):
                self._sets[f"{node.name}()"] = None
                self._sets[f".{node.name}"] = None  # if it is a property
        elif isinstance(node, ast.Assign) and self._is_set(node.value):
            for target in node.targets:
                self._hold(target)

    def _hold(self, target: ast.AST) -> None:
        if isinstance(target, ast.arg):
            self._sets[target.arg] = None
        elif isinstance(target, ast.Name):
            self._sets[target.id] = None
            self._sets[f".{target.id}"] = None  # if it is the field of a class
        elif isinstance(target, ast.Attribute):
            self._sets[f".{target.attr}"] = None

    def _is_set(self, node: ast.AST) -> bool:
        match node:
            case ast.Set() | ast.SetComp():
                return True
            case ast.Name(id=name):
                return name in self._sets
            case ast.Attribute(attr=name):
                return f".{name}" in self._sets
            case ast.Call(func=ast.Name(id=name)):
                return name in ("set", "frozenset") or f"{name}()" in self._sets
            case ast.Call(func=ast.Attribute(attr=name)):
                return name in SET_METHODS or f"{name}()" in self._sets
            case ast.BinOp(left=left, op=op, right=right) if isinstance(op, SET_OPERATORS):
                return self._is_set(left) or self._is_set(right)
            case ast.IfExp(body=body, orelse=orelse):
                return self._is_set(body) or self._is_set(orelse)
        return False

    def complaints(self) -> Iterator[Complaint]:
        """Orders that two processes need not share."""
        for node in ast.walk(self._tree):
            match node:
                case ast.For(iter=over) if self._is_set(over):
                    yield Complaint(node.lineno, "a loop over a set")
                case ast.ListComp() | ast.DictComp() | ast.GeneratorExp():
                    if any(self._is_set(each.iter) for each in node.generators):
                        if not self._tells_no_order(node):
                            yield Complaint(node.lineno, "a set is gone through in its own order")
                case ast.Starred(value=value) if self._is_set(value):
                    if not isinstance(self._parents[node], ast.Set):
                        if not self._tells_no_order(node):
                            yield Complaint(node.lineno, "a set is unpacked in its own order")
                case ast.Call():
                    yield from self._call(node)

    def _tells_no_order(self, node: ast.AST) -> bool:
        parent = self._parents.get(node)
        if not isinstance(parent, ast.Call) or not isinstance(parent.func, ast.Name):
            return False
        name = parent.func.id
        return name in ORDER_FREE or (name in ("min", "max") and not _has_key(parent))

    def _call(self, node: ast.Call) -> Iterator[Complaint]:
        given = [each for each in node.args if self._is_set(each)]
        match node.func:
            case ast.Name(id="hash" | "id" as name):
                yield Complaint(node.lineno, f"{name}() differs from process to process")
            case ast.Name(id=name) if given and name in IN_ORDER:
                yield Complaint(node.lineno, f"{name}() of a set, in its own order")
            case ast.Name(id="min" | "max" as name) if given and _has_key(node):
                yield Complaint(node.lineno, f"{name}() by a key: the first of equals of a set")
            case ast.Attribute(attr="join" | "extend" as name) if given:
                yield Complaint(node.lineno, f".{name}() of a set, in its own order")
            case ast.Attribute(attr="pop", value=value) if self._is_set(value) and not node.args:
                yield Complaint(node.lineno, ".pop() from a set takes any")


def _has_key(node: ast.Call) -> bool:
    return any(each.arg == "key" for each in node.keywords)


def _names_a_set(annotation: ast.expr) -> bool:
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        annotation = ast.parse(annotation.value, mode="eval").body
    if isinstance(annotation, ast.Subscript):
        annotation = annotation.value
    if isinstance(annotation, ast.Attribute):
        return annotation.attr in SET_TYPES
    return isinstance(annotation, ast.Name) and annotation.id in SET_TYPES
