"""What a change of a record is to the rooms above: up, updated, suspected, down, left.

**Between "up" and "down" or "left" a member is there; each is said once.**  A restart that nobody
noticed is an end and a beginning: what ran there is gone.
"""

from attrs import evolve

from nanoboost.gossip.effects import (
    MemberDown,
    MemberEvent,
    MemberLeft,
    MemberSuspected,
    MemberUp,
    MemberUpdated,
)
from nanoboost.gossip.members import Record, State


def is_return(old: Record | None, new: Record) -> bool:
    """Whether `new` says that one who was dead or gone is there again."""
    return old is not None and not old.state.is_live and new.state.is_live


def announcements(old: Record | None, new: Record) -> tuple[MemberEvent, ...]:
    """What to say when `new` takes the place of `old` (None: nothing was held)."""
    member = new.member()
    if member is None:
        return ()
    before = old.member() if old is not None and old.state.is_live else None
    ended: tuple[MemberEvent, ...] = ()
    if before is not None and new.incarnation.generation > before.incarnation.generation:
        ended = (MemberDown(evolve(before, state=State.DEAD, since=new.since)),)
        before = None
    if member.state is State.DEAD:
        return ended if before is None else (MemberDown(member),)
    if member.state is State.LEFT:
        return (*ended, MemberLeft(member))
    if before is None:
        return (*ended, MemberUp(member))
    if member.state is State.ALIVE:
        return (MemberUpdated(member),)
    # Also with a newer incarnation: the room above holds the same record as this one.
    return (MemberSuspected(member),)
