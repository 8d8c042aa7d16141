"""All that can happen to three cores within so many steps, each distinct state looked at once.

A step is: a node stands for election, a message arrives (again, if duplicates are allowed), the
leader takes a record or begins a change, a disk catches up, or a node loses power and is back.
Messages are a bag, so loss and reordering are in every order of the rest.  What is written is
durable at once, or (as often as a `Scope` allows) only when a later step says so; a power cut
leaves any prefix of it.  Time stands still: **who stands, and when, is the search's to choose, not
a timer's**.  Pre-votes are left out, for they bind nobody; so are heartbeats, which are messages
that got lost.  The second and the third node begin alike, so the third never takes the first step.

    python -m tests.consensus.exhaustive [--mutant N] [--scope NAME]
"""

import argparse
import copy
import time
from collections import deque
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

from attrs import evolve

from nanoboost.consensus.chronicle import Facts, beginning, facts_of, view
from nanoboost.consensus.effects import ChangeAsked, Persist, Persisted, Proposed, Received, Send
from nanoboost.consensus.membership import Change
from nanoboost.consensus.messages import (
    Appended,
    AppendEntries,
    AppendRefused,
    Heartbeat,
    TimeoutNow,
    Vote,
)
from nanoboost.consensus.raft import Raft
from nanoboost.consensus.state import Role, Stored
from nanoboost.core import Woke
from nanoboost.ids import NodeId
from simulations.checkers.raft import Broken, RaftHolds
from tests.consensus.cluster import CLUSTER, TIMING, Cluster, node_id
from tests.consensus.known_bugs import MUTANTS
from tests.consensus.worlds import Disk, Node, Scope, Steady, World, fingerprint, forked

NODES = tuple(node_id(n) for n in range(3))
NOW = 1000.0


class Search:
    """Breadth first, so that what is found is found by a shortest way."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._steps: dict[Any, tuple[Raft, int, tuple[Any, ...], Facts]] = {}
        self._numbers: dict[Any, int] = {}
        self._messages: dict[int, tuple[NodeId, NodeId, Any]] = {}
        self.states = 0
        self.transitions = 0
        self.deepest = 0
        self.deaths = 0
        self._begin = self._root()

    def run(self) -> None:
        """Look at everything.  Raises `Broken`, with the way there."""
        root = self._begin
        seen = {self._key(root)}
        queue: deque[tuple[World, int, tuple[str, ...]]] = deque([(root, 0, ())])
        while queue:
            world, depth, path = queue.popleft()
            self.states += 1
            self.deepest = max(self.deepest, depth)
            if depth == self._scope.depth:
                continue
            for name, successor in self._successors(world, path):
                if not path and name.startswith(NODES[2][-1]):
                    continue
                self.transitions += 1
                key = self._key(successor)
                if key not in seen:
                    seen.add(key)
                    queue.append((successor, depth + 1, (*path, name)))

    def _number(self, thing: Any) -> int:
        """The same for equal things: states are compared by small numbers, once they are known."""
        return self._numbers.setdefault(thing, len(self._numbers))

    def _key(self, world: World) -> Any:
        """Equal for equal worlds."""
        seen = world.watch.nodes.values()
        chapter = world.watch.chapters[next(node.log.log for node in seen)]
        promised = tuple(node.has for node in seen)
        history = (tuple(chapter.committed.items()), tuple(sorted(chapter.leaders.items())))
        ghosts = self._number((history, promised))
        keys = [(node.key, node.disk_key) for node in world.nodes]
        return (*keys, world.network, ghosts, world.left)

    # --- worlds ----------------------------------------------------------------------------------

    def _root(self) -> World:
        """Three voters whose logs agree, just started; all but the first have since heard of the
        last leader how much is committed."""
        cluster = Cluster(3)
        cluster.become(NODES)
        cluster.run(1.0)
        nodes = []
        for name, found in cluster.nodes.items():
            found.disk.sync(len(found.disk.pending))
            stored = found.disk.stored()
            disk = Disk(stored.hard_state, stored.snapshot, stored.entries)
            raft = self._started(name, disk, cluster.watch)
            nodes.append(Node(name, raft, self._picture(raft), disk, self._number(disk)))
        world = World(tuple(nodes), (), cluster.watch, evolve(self._scope, hears_stale=True))
        for place, node in enumerate(nodes[1:], 1):
            state = node.raft.state
            last, term = state.log.last_index, state.log.last_term
            route = state.route(node.name)
            told = AppendEntries(route, state.term, last, term, (), last)
            after = self._after(world, place, Received(NODES[0], told), is_late=False)
            assert after is not None
            world = after
        return evolve(world, network=(), left=self._scope)

    def _started(self, name: NodeId, disk: Disk, watch: RaftHolds) -> Raft:
        stored = Stored(disk.hard_state, disk.snapshot, disk.log)
        raft = Raft(name, CLUSTER, TIMING, Steady(), NOW, stored, is_founder=False)  # type: ignore[arg-type]
        raft.state.election_due = NOW + 1
        watch.take(name, {"begins": beginning(name, stored)})
        effects = raft.step(NOW, Woke())
        watch.take(name, facts_of(raft.state, None, view(raft.state), Woke(), effects))
        return raft

    def _picture(self, raft: Raft) -> int:
        return self._number(fingerprint(raft, set()))

    def _successors(self, world: World, path: tuple[str, ...]) -> Iterator[tuple[str, World]]:
        for name, node, event, rest in self._choices(world):
            for is_late in (False, True) if rest.left.delays else (False,):
                try:
                    successor = self._after(rest, node, event, is_late=is_late)
                except Broken as broken:
                    way = ", ".join((*path, name))
                    raise Broken(broken.invariant, f"{broken}; after: {way}") from None
                if successor is not None:
                    yield name + (" (disk late)" if is_late else ""), successor

    def _choices(self, world: World) -> Iterator[tuple[str, int, Any, World]]:
        """What may happen next: its name, to which node, which event, and the rest of the world."""
        left = world.left
        for place, node in enumerate(world.nodes):
            state = node.raft.state
            short = node.name[-1]
            if left.stands and not state.is_leader:
                rest = evolve(world, left=evolve(left, stands=left.stands - 1))
                yield f"{short} stands", place, "stand", rest
            if left.proposals and state.is_leader:
                rest = evolve(world, left=evolve(left, proposals=left.proposals - 1))
                yield f"{short} takes a record", place, Proposed(state.term, b"x"), rest
            if left.changes and state.is_leader:
                rest = evolve(world, left=evolve(left, changes=left.changes - 1))
                wish = Change((node.name,), (), state.membership.effective_index)
                yield f"{short} would be alone", place, ChangeAsked(wish), rest
            if node.disk.pending:
                yield f"{short}'s disk catches up", place, "sync", world
            if left.crashes:
                rest = evolve(world, left=evolve(left, crashes=left.crashes - 1))
                for kept in range(len(node.disk.pending) + 1):
                    yield f"{short} loses power, {kept} writes stay", place, kept, rest
        for message in dict.fromkeys(world.network):
            sender, to, said = self._messages[message]
            name = f"{sender[-1]}->{to[-1]} {type(said).__name__}"
            network = list(world.network)
            network.remove(message)
            event = Received(sender, said)
            yield name, NODES.index(to), event, evolve(world, network=tuple(network))
            if left.duplicates:
                rest = evolve(world, left=evolve(left, duplicates=left.duplicates - 1))
                yield name + " (twice)", NODES.index(to), event, rest

    def _after(self, world: World, place: int, event: Any, *, is_late: bool) -> World | None:
        """The world after a step of one node; None if it makes no difference."""
        watch = world.watch.copy(world.nodes[place].name)
        nodes = list(world.nodes)
        network = list(world.network)
        node = copy.copy(nodes[place])
        nodes[place] = node
        by_name = {each.name: each for each in nodes}
        left = world.left
        if isinstance(event, int):
            if is_late:
                return None
            disk = evolve(node.disk.synced(event), pending=())
            raft = self._started(node.name, disk, watch)
            nodes[place] = Node(node.name, raft, self._picture(raft), disk, self._number(disk))
            return World(tuple(nodes), world.network, watch, left)
        if event == "sync":
            if is_late:
                return None
            event = self._sync(node)
        events = [event]
        is_held = False
        while events:
            if not self._step(node, events.pop()):
                return None  # the process died of its own assertion, and stays away
            watch.take(node.name, self._facts)
            for effect in self._effects:
                match effect:
                    case Send(to, message):
                        if to in by_name and not isinstance(message, Heartbeat):
                            letter = (node.name, to, message)
                            number = self._number(letter)
                            self._messages[number] = letter
                            network.append(number)
                    case Persist():
                        node.disk = evolve(node.disk, pending=(*node.disk.pending, effect))
                        if is_late or len(node.disk.pending) > 1:
                            is_held = True
                        else:
                            events.append(self._sync(node))
        if is_late and not is_held:
            return None
        if is_late:
            left = evolve(left, delays=left.delays - 1)
        node.disk_key = self._number(node.disk)
        if not left.hears_stale:
            network = [each for each in network if self._is_fresh(by_name, each)]
        return World(tuple(nodes), tuple(sorted(network)), watch, left)

    def _is_fresh(self, nodes: dict[NodeId, Node], number: int) -> bool:
        """Whether a message may still be more than an answer to a question of the past."""
        _, to, message = self._messages[number]
        node = nodes[to]
        if message.term > node.disk.hard_state.term:
            return True
        role = node.raft.state.role
        is_now = message.term == node.raft.state.term
        if isinstance(message, Vote):
            return is_now and role is Role.CANDIDATE
        if isinstance(message, (Appended, AppendRefused)):
            return is_now and role is Role.LEADER
        return True

    @staticmethod
    def _sync(node: Node) -> Persisted:
        token = node.disk.pending[-1].token
        node.disk = node.disk.synced(len(node.disk.pending))
        return Persisted(token)

    def _step(self, node: Node, event: Any) -> bool:
        """Let the core take a step; equal steps are taken once."""
        name = (node.key, event)
        if name not in self._steps:
            raft = forked(node.raft)
            was = view(raft.state)
            if event == "stand":
                raft.state.leader = node.name  # no more than the word of a leader is missing
                event = Received(
                    node.name, TimeoutNow(raft.state.route(node.name), raft.state.term)
                )
            try:
                effects = raft.step(NOW, event)
            except Exception:
                self.deaths += 1
                return False
            facts = facts_of(raft.state, was, view(raft.state), event, effects)
            self._steps[name] = (raft, self._picture(raft), effects, facts)
        node.raft, node.key, self._effects, self._facts = self._steps[name]
        return True


QUICK = {
    "elections": Scope(12, stands=2, hears_stale=False),
    "replication": Scope(12, stands=1, proposals=1, duplicates=1, hears_stale=False),
    "disks": Scope(12, stands=1, crashes=1, delays=1, hears_stale=False),
    "changes": Scope(12, stands=1, changes=1),
}
"""A few seconds in all."""
LONG = {
    "elections": Scope(14, stands=2, hears_stale=False),
    "replication": Scope(14, stands=1, proposals=2, duplicates=1, hears_stale=False),
    "disks": Scope(14, stands=1, proposals=1, crashes=1, delays=1, hears_stale=False),
    "crashes": Scope(12, stands=2, crashes=1, hears_stale=False),
    "changes": Scope(14, stands=1, proposals=1, crashes=1, changes=1, hears_stale=False),
}
"""Minutes each, and up to two gigabytes."""


def main() -> None:
    """Search, and say how much there was."""
    parser = argparse.ArgumentParser(description="look at all that can happen to three cores")
    parser.add_argument("--long", action="store_true", help="the large scopes")
    parser.add_argument("--scope", help="one of them")
    parser.add_argument("--mutant", type=int, help="the number of a bug to put in")
    args = parser.parse_args()
    print("| scope | depth | states | steps | CPU s | found |\n|---|--:|--:|--:|--:|---|")
    for name, scope in (LONG if args.long else QUICK).items():
        if args.scope not in (None, name):
            continue
        search, began, found = Search(scope), time.process_time(), "nothing"
        with MUTANTS[args.mutant - 1].apply() if args.mutant else nullcontext():
            try:
                search.run()
            except Broken as broken:
                found = str(broken)
        spent = time.process_time() - began
        print(
            f"| {name} | {search.deepest} | {search.states} | {search.transitions} "
            f"| {spent:.1f} | {found} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
