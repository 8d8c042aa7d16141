"""Wrong histories, each with the invariant that it breaks and what the checker must say."""

from collections.abc import Callable

from nanoboost.consensus.chronicle import beginning
from nanoboost.consensus.leadership import UNCOMMITTED_BYTES_MAX
from nanoboost.consensus.membership import Configuration
from nanoboost.consensus.messages import HardState, Snapshot
from nanoboost.consensus.progress import INFLIGHT_MAX
from nanoboost.consensus.state import Stored
from simulations.checkers.frontiers import must_be_closed
from tests.consensus.bench import noop, record
from tests.consensus.tale import (
    ALL,
    ALONE,
    BASE,
    SNAPSHOT,
    A,
    B,
    C,
    D,
    Tale,
    change,
    job_with,
    state_of,
)

Wrong = Callable[[], None]
WRONG: list[tuple[str, str, Wrong]] = []


def wrong(invariant: str, what: str) -> Callable[[Wrong], Wrong]:
    def register(tell: Wrong) -> Wrong:
        WRONG.append((invariant, what, tell))
        return tell

    return register


@wrong("I1", "two leaders in term 2")
def _() -> None:
    tale = Tale().led_by_a()
    tale.writes(C, hard_state=state_of(2, C))
    tale.tell(C, leads=2)


@wrong("I1", "leads term 2 without a quorum's votes")
def _() -> None:
    tale = Tale()
    tale.votes(2, A, A)
    tale.tell(A, leads=2)


@wrong("I1", "leads term 2 without a quorum's votes")
def _() -> None:
    """The votes of a majority of the new voters only."""
    tale = Tale()
    for node in (A, B, C):
        tale.writes(node, change(2, 1, ALL.changed_to((C,), ())))
    tale.votes(2, C, C, last=2)
    tale.tell(C, leads=2)


@wrong("I2", "goes back from term 3 to 2|forgets its term")
def _() -> None:
    tale = Tale()
    tale.writes(A, hard_state=state_of(3))
    tale.writes(A, hard_state=state_of(2))


@wrong("I2", "votes twice in term 2")
def _() -> None:
    tale = Tale()
    tale.writes(A, hard_state=state_of(2, B))
    tale.writes(A, hard_state=state_of(2, C))


@wrong("I3", "two entries 2 of term 2")
def _() -> None:
    tale = Tale().led_by_a()
    tale.writes(B, record(2, 2, b"another"))


@wrong("I3", "before entry 3 of term 2 lie two histories")
def _() -> None:
    tale = Tale().led_by_a()
    tale.writes(A, record(3, 2, b"x"))
    tale.writes(B, noop(2, 1))
    tale.writes(B, record(3, 2, b"x"))


@wrong("I4", "entry 2 was committed as another")
def _() -> None:
    tale = Tale().committed()
    tale.writes(C, noop(2, 1))
    tale.tell(C, commit=2)


@wrong("I4", "cuts what it committed")
def _() -> None:
    tale = Tale().committed()
    tale.writes(A, last=1)


@wrong("I5", "which leads, lacks entry 2")
def _() -> None:
    tale = Tale().led_by_a()
    tale.writes(B, noop(2, 2))
    tale.tell(A, commit=2)  # and nobody was told
    tale.votes(3, C, B, C, last=1)
    tale.tell(C, leads=3)


@wrong("I5", "lacks entry 2 and could be elected")
def _() -> None:
    tale = Tale().led_by_a()
    tale.writes(C, noop(2, 3), hard_state=state_of(3))
    tale.writes(B, noop(2, 2))
    tale.tell(A, commit=2)


@wrong("I6", "entry 2 is committed and not durable on a quorum")
def _() -> None:
    tale = Tale().led_by_a()
    tale.writes(B, noop(2, 2), is_synced=False)
    tale.tell(A, commit=2)


@wrong("I6", "entry 3 is committed and not durable on a quorum")
def _() -> None:
    """A majority of one half of a joint configuration only."""
    tale = Tale().committed()
    joint = change(3, 2, Configuration((D,), (A, B, C)))
    tale.tell(D, begins=beginning(D, BASE))
    for node in (A, B):
        tale.writes(node, joint)
    tale.tell(A, commit=3)


@wrong("I6", "commits entry 2 before any leader")
def _() -> None:
    tale = Tale().led_by_a()
    tale.writes(B, noop(2, 2))
    tale.tell(B, commit=2)


@wrong("I6", "commits beyond its log")
def _() -> None:
    Tale().tell(B, commit=2)


@wrong("I6", "cuts off what it has acknowledged in term 2")
def _() -> None:
    tale = Tale().led_by_a()
    tale.writes(B, noop(2, 2), hard_state=state_of(2, A))
    tale.tell(B, says=[["has", A, 2, 2]])
    tale.writes(B, last=1)


@wrong("I7", "gives a vote before it is durable")
def _() -> None:
    tale = Tale()
    tale.writes(B, hard_state=state_of(2))
    tale.writes(B, hard_state=state_of(2, A), is_synced=False)
    tale.tell(B, says=[["votes", A, 2, 0]])


@wrong("I7", "tells a term before it is durable")
def _() -> None:
    tale = Tale()
    tale.writes(B, hard_state=state_of(2, A), is_synced=False)
    tale.tell(B, says=[["votes", A, 2, 0]])


@wrong("I7", "acknowledges entries that are not durable")
def _() -> None:
    tale = Tale().led_by_a()
    tale.writes(B, noop(2, 2), is_synced=False)
    tale.tell(B, says=[["has", A, 2, 2]])


@wrong("I7", "a candidate's vote or log is not durable")
def _() -> None:
    tale = Tale()
    tale.writes(A, noop(2, 1), is_synced=False, hard_state=state_of(1))
    tale.writes(C, hard_state=state_of(2, C))
    tale.tell(C, says=[["asks as told", A, 2, 2]])


@wrong("I7", "leads a term that is not durable")
def _() -> None:
    tale = Tale()
    tale.writes(A, hard_state=state_of(2, A), is_synced=False)
    tale.tell(A, leads=2)


@wrong("I7", "applies what is not durable there")
def _() -> None:
    tale = Tale().committed()
    tale.writes(C, noop(2, 2), is_synced=False)
    tale.tell(C, commit=2, applied=2)


@wrong("I7", "starts without what was durable")
def _() -> None:
    tale = Tale().committed()
    tale.tell(B, begins=beginning(B, BASE))


@wrong("I7", "starts without what was durable")
def _() -> None:
    """The right length, other entries."""
    tale = Tale().committed()
    hard_state = HardState(2, A, A, 1)
    tale.tell(B, begins=beginning(B, Stored(hard_state, SNAPSHOT, (record(2, 2, b"rot"),))))


@wrong("I8", "the state at 2 is another one")
def _() -> None:
    tale = Tale().committed()
    tale.tell(A, states=[[2, 77]])
    tale.tell(B, states=[[2, 78]])


@wrong("I8", "the state at 2 is another one")
def _() -> None:
    tale = Tale().committed()
    tale.tell(A, states=[[2, 77]])
    tale.writes(B, first=3, last=2, snapshot=Snapshot(2, 2, ALL, b"wrong"))


@wrong("I8", "has a snapshot of what is not committed")
def _() -> None:
    tale = Tale().committed()
    tale.writes(B, first=4, last=3, snapshot=Snapshot(3, 2, ALL, b"early"))


@wrong("I8", "applies what is not committed")
def _() -> None:
    tale = Tale().led_by_a()
    tale.tell(A, applied=2)


@wrong("I9", "task 1 is finished and its parent 0 is not")
def _() -> None:
    must_be_closed(*job_with(1))


@wrong("I10", "a change before an entry of the leader's own term is committed")
def _() -> None:
    tale = Tale().led_by_a()
    tale.writes(A, change(3, 2, ALL.changed_to((A, B, D), ())))


@wrong("I10", "a change while another is not committed")
def _() -> None:
    tale = Tale().committed()
    tale.writes(A, change(3, 2, Configuration((A, B, C), (), (D,))))
    tale.writes(A, change(4, 2, ALL))


@wrong("I10", "two neighbours among the configurations can decide apart")
def _() -> None:
    tale = Tale().committed()
    tale.writes(A, change(3, 2, ALONE))


@wrong("I10", "the configuration in force is not in the log")
def _() -> None:
    tale = Tale().committed()
    tale.tell(B, effective=[3, [D], [], []])


@wrong("I10", "a snapshot's configuration is not its")
def _() -> None:
    tale = Tale().committed()
    joint = change(3, 2, ALL.changed_to((A, B, D), ()))
    for node in (A, B):
        tale.writes(node, joint)
    tale.tell(D, begins=beginning(D, BASE))
    tale.writes(D, noop(2, 2), joint)
    tale.tell(A, commit=3)
    tale.writes(A, first=4, last=3, snapshot=Snapshot(3, 2, ALL, b"old"))


@wrong("I11", "lacks entry 2, which is committed and acknowledged")
def _() -> None:
    tale = Tale().committed()
    tale.votes(3, C, B, last=2)
    tale.votes(3, C, C)
    tale.tell(C, leads=3)


@wrong("I12", "answers a stale read")
def _() -> None:
    tale = Tale().committed()
    tale.tell(C, asked=5)
    tale.tell(C, read=[5])


@wrong("I13", "has too much uncommitted")
def _() -> None:
    tale = Tale().led_by_a()
    tale.writes(A, record(3, 2, b"x"), open=UNCOMMITTED_BYTES_MAX * 2, flight=1)


@wrong("I13", "has too many messages on their way")
def _() -> None:
    tale = Tale().led_by_a()
    tale.writes(A, record(3, 2, b"x"), open=100, flight=INFLIGHT_MAX + 1)


@wrong("I14", "stands for election without a quorum of pre-votes")
def _() -> None:
    tale = Tale()
    tale.writes(A, hard_state=state_of(2, A))
    tale.tell(B, says=[["would vote", C, 2, 0]])
    tale.tell(A, says=[["asks", B, 2, 1]])


@wrong("I14", "nobody leads")
def _() -> None:
    tale = Tale().committed()
    tale.tell(A, leads=0)
    tale.holds.rest()


@wrong("I14", "does not come to have what is committed")
def _() -> None:
    Tale().committed().holds.rest()


@wrong("I14", "a change of the configuration is under way")
def _() -> None:
    tale = Tale().committed()
    tale.writes(A, change(3, 2, ALL.changed_to((A, B, D), ())))
    tale.holds.rest()
