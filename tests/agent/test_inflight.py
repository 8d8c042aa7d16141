"""The note of what runs here: what a start finds after an end that nobody had ordered."""

from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.internet.task import Clock

from nanoboost.agent.inflight import IN_FLIGHT_KEY, InFlight
from nanoboost.ids import Attempt, AttemptKey, JobId, NodeId, TaskId
from nanoboost.wire.codec import encode_value
from tests.consensus.table import MemoryStore

ME, OTHER = NodeId("1" * 16), NodeId("2" * 16)


def key(task: int) -> AttemptKey:
    return AttemptKey(JobId("film-1"), TaskId(task), Attempt(3, 1))


class Machine:
    """A disk, and one process after the other."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.store = MemoryStore(self.clock)
        self.crashes: list[Any] = []

    def starts(self, me: NodeId = ME) -> tuple[InFlight, tuple[AttemptKey, ...]]:
        note = InFlight(me, self.store, self.crashes.append)
        return note, note.load()

    def syncs(self) -> None:
        self.clock.advance(1.0)


def test_what_ran_at_the_end_is_found_at_the_next_start_until_it_is_over() -> None:
    machine = Machine()
    note, found = machine.starts()
    assert found == ()
    note.begins(key(1))
    note.begins(key(2))
    machine.syncs()
    note, found = machine.starts()
    assert found == (key(1), key(2))
    note.over(key(1))
    note.begins(key(3))
    machine.syncs()
    assert machine.starts()[1] == (key(2), key(3)), "2 is not counted yet"


def test_who_stops_in_good_order_has_lost_nothing() -> None:
    machine = Machine()
    note, _ = machine.starts()
    note.begins(key(1))
    note.close()
    machine.syncs()
    assert machine.starts()[1] == ()


def test_on_a_copied_disk_nothing_was_lost() -> None:
    machine = Machine()
    machine.starts()[0].begins(key(1))
    machine.syncs()
    assert machine.starts(OTHER)[1] == ()


def test_a_disk_that_refuses_is_told() -> None:
    machine = Machine()
    note, _ = machine.starts()
    machine.store.broken = True
    note.begins(key(1))
    assert len(machine.crashes) == 1
    note.close()
    assert len(machine.crashes) == 1, "it stops anyway"


@given(st.binary(max_size=40))
@example(b"")
@example(encode_value([ME, [["film-1", 1, 3]]]))
@example(encode_value([ME, 5]))
@example(encode_value({}))
def test_a_note_that_cannot_be_read_is_none(data: bytes) -> None:
    machine = Machine()
    machine.store.pairs[IN_FLIGHT_KEY] = data
    note, found = machine.starts()
    assert found == ()
    note.begins(key(1))
    machine.syncs()
    assert machine.starts()[1] == (key(1),)
