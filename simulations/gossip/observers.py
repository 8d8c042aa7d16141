"""What is noted while a network runs, and what is made of it.

**Only announcements of the cores count**: what a member tells the layers above it, and when.
"""

from collections.abc import Collection, Iterable
from math import ceil

from attrs import define, field, frozen

from nanoboost.gossip.effects import (
    MemberDown,
    MemberEvent,
    MemberLeft,
    MemberSuspected,
    MemberUp,
)
from simulations.gossip.network import number_of


@frozen
class Noted:
    """`observer` announced something about `about` at `at`."""

    at: float
    observer: int
    about: int


@define(eq=False)
class Notes:
    """All announcements of a run, by kind; give `watch` to the network."""

    ups: list[Noted] = field(factory=list)
    suspicions: list[Noted] = field(factory=list)
    downs: list[Noted] = field(factory=list)
    goodbyes: list[Noted] = field(factory=list)

    def watch(self, now: float, observer: int, event: MemberEvent) -> None:
        """Take one announcement."""
        kind = type(event)
        if kind is MemberDown:
            notes = self.downs
        elif kind is MemberSuspected:
            notes = self.suspicions
        elif kind is MemberUp:
            notes = self.ups
        elif kind is MemberLeft:
            notes = self.goodbyes
        else:
            return
        notes.append(Noted(now, observer, number_of(event.member.node)))

    def false_positives(self, troubled: Collection[int]) -> tuple[int, int]:
        """FP and FP-: members announced as failed that were in no trouble, by anybody, and by
        those that were in no trouble themselves (Lifeguard, section V)."""
        false = [note for note in self.downs if note.about not in troubled]
        return len(false), sum(note.observer not in troubled for note in false)


@frozen
class Outcome:
    """What came of one run.  `first` and `full`: seconds until the first and until the last of
    those who should notice something did, for each thing to be noticed; `missed` counts the things
    that somebody never noticed."""

    fp: int = 0
    fp_minus: int = 0
    first: tuple[float, ...] = ()
    full: tuple[float, ...] = ()
    missed: int = 0
    messages: float = 0.0
    """Datagrams sent, per member and second."""
    bytes: float = 0.0
    """The same in sealed bytes."""
    figure: tuple[float, ...] = ()
    """What a figure of a paper shows, in its own units."""


def latencies(
    notes: Iterable[Noted], since: float, about: int, observers: Collection[int]
) -> tuple[float | None, float | None]:
    """Seconds from `since` until the first and the last of `observers` has noted `about`."""
    first_by_observer: dict[int, float] = {}
    for note in notes:
        if note.about == about and note.at >= since and note.observer in observers:
            first_by_observer.setdefault(note.observer, note.at - since)
    first = min(first_by_observer.values(), default=None)
    full = max(first_by_observer.values(), default=None)
    return first, full if len(first_by_observer) == len(observers) else None


def percentile(values: Iterable[float], share: float) -> float:
    """The least value that `share` of all do not exceed."""
    ranked = sorted(values)
    return ranked[max(0, ceil(share * len(ranked)) - 1)]
