"""Each rule of the protocol is taken out on purpose: a test must miss it.

**A rule that no test misses is not tested.**  Each mutant names the rule, how it is removed, and
the tests that are run without it, of which one must fail.

    python -m tests.gossip.mutants     # the table of docs/gossip-evidence.md
"""

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import Any
from unittest.mock import patch

from attrs import evolve, field, frozen

from nanoboost.gossip import probe, swim, table, view
from nanoboost.gossip.exchange import Exchange
from nanoboost.gossip.health import LocalHealth
from nanoboost.gossip.members import Record, State
from nanoboost.gossip.messages import StreamPing
from nanoboost.gossip.probing import Probing
from nanoboost.gossip.seal import Seal, _Window
from nanoboost.gossip.suspicion import Refutations, Suspicions
from nanoboost.gossip.swim import Swim
from nanoboost.gossip.sync import JoinClock, SyncClock
from nanoboost.gossip.table import Ring
from nanoboost.gossip.twin import TwinWatch
from nanoboost.gossip.view import View
from nanoboost.gossip.voice import Voice
from tests.gossip import test_exchange, test_lan, test_view
from tests.gossip import test_hard_cases as hard
from tests.gossip import test_hard_cases_of_identity as identity
from tests.gossip import test_hard_cases_of_restarts as restarts

_rows, _asked, _ask, _first, _merge, _seal, _reproach = (
    View.rows, JoinClock.asked, Voice.ask, Exchange._ask, View.merge, Seal.__init__, View.reproach,
)  # fmt: skip


def _nothing(*_: object, **__: object) -> None:
    return None


def _call_nobody(self: Any, now: float) -> None:
    self._next_call = now + 1e9


def _kill(self: Any, now: float, rows: Any) -> None:
    """A table of another node is believed when it says that somebody is dead."""
    for row in rows:
        record = self._table.get(row.node)
        if row.node != self._me and row.kind is State.DEAD and record is not None:
            if record.state.is_live and row.incarnation >= record.incarnation:
                self._adopt(now, record, evolve(row, description=None))
    _merge(self, now, rows)


def _remember_hearsay(self: Any, now: float, claim: Any, *, is_hearsay: bool = False) -> None:
    record = Record(claim.node, claim.incarnation, claim.kind, now, claim.description)
    self._table.put(record)


def _ask_once(self: Any, now: float, known: Any) -> Any:
    addresses = _asked(self, now, known)
    self.due, self._seeds, self._peers = None, (), []
    return addresses


def _give_up(self: Any) -> None:
    self.due, self._is_alone = None, False


def _reproach_the_silent(self: Any, now: float, header: Any) -> Any:
    record = self.get(header.sender)
    if record is not None and header.incarnation > record.incarnation:
        return None
    return _reproach(self, now, header)


def _print_of_the_claim(record: Any) -> bytes:
    return f"{record.node}{record.incarnation}{record.state}".encode()[-8:]


def _ask_first_only(self: Any, address: Any, rows: Any, *, is_second: bool) -> None:
    if not is_second:
        _first(self, address, rows, is_second=False)


def _ask_tables_only(self: Any, address: Any, question: Any, timeout_s: float) -> int:
    if isinstance(question, StreamPing):
        return int(self.number())
    return _ask(self, address, question, timeout_s)


def _one_label(self: Any, key: bytes, label: str, boot: bytes, **options: Any) -> None:
    _seal(self, key, "", boot, **options)


@frozen
class Mutant:
    """A protocol without one of its rules."""

    rule: str
    patches: tuple[tuple[Any, str, Any], ...]
    """What is replaced: of what, its name, by what."""
    tests: tuple[Callable[[], None], ...] = field(repr=False)


def _partitions(*cuts: int) -> tuple[Callable[[], None], ...]:
    test = hard.test_01_a_partition_heals_within_ten_probe_periods_and_nobody_flaps
    return tuple(partial(test, n, first, cut) for cut in cuts for n, first in ((7, 3), (4, 1)))


MUTANTS = (
    Mutant("the dead are called", ((Swim, "_call_the_dead", _call_nobody),), _partitions(60)),
    Mutant(
        "who is held dead out of the blue is asked first",
        ((View, "_doubt", View._adopt),),
        _partitions(2, 3, 4, 5, 6, 8, 12),
    ),
    Mutant(
        "a table kills nobody",
        ((View, "merge", _kill),),
        (test_lan.test_a_lie_about_everybody_is_refuted_by_everybody,),
    ),
    Mutant(
        "a suspect is asked a last time",
        ((Suspicions, "to_ask", lambda self, now: []),),
        (test_view.test_nobody_is_held_dead_without_a_last_question,),
    ),
    Mutant(
        "whoever hears nobody doubts itself",
        ((View, "_question_oneself", _nothing),),
        (hard.test_03_whoever_hears_nobody_doubts_itself_and_not_all_others,),
    ),
    Mutant(
        "local health",
        ((LocalHealth, "adjust", _nothing),),
        (hard.test_03_whoever_hears_nobody_doubts_itself_and_not_all_others,),
    ),
    Mutant(
        "probes over TCP",
        ((Voice, "ask", _ask_tables_only),),
        (partial(hard.test_04_a_firewall_that_eats_datagrams_kills_nobody_and_is_named, "in"),),
    ),
    Mutant(
        "NACKs at 80 % of what is left",
        ((probe, "NACK_SHARE", 1.0),),
        (partial(hard.test_06_the_dead_do_not_make_healthy_probers_doubt_themselves, 0.01),),
    ),
    Mutant(
        "a copied card gives way",
        ((TwinWatch, "heard", lambda *_: False),),
        (partial(identity.test_07_of_a_cloned_card_the_later_started_gives_way, True),),
    ),
    Mutant(
        "another node at the address",
        ((Probing, "_gone", _nothing),),
        (identity.test_08_whoever_inherits_an_address_is_not_mistaken_for_the_one_before,),
    ),
    Mutant(
        "a new address is told",
        ((View, "describe", _nothing),),
        (identity.test_08_a_machine_that_is_moved_while_it_runs_is_not_missed,),
    ),
    Mutant(
        "the cluster is part of each seal",
        ((Seal, "__init__", _one_label),),
        (identity.test_09_clusters_on_one_lan_never_mix_even_over_an_address,),
    ),
    Mutant(
        "a goodbye is said to each in person",
        ((swim, "GOODBYES_MAX", 0),),
        (test_lan.test_a_goodbye_is_said_to_each_in_person,),
    ),
    Mutant(
        "one notice in ten seconds",
        ((view, "ACCUSED_GAP_S", 0.0),),
        (hard.test_11_two_that_hold_each_other_dead_say_so_once_in_ten_seconds,),
    ),
    Mutant(
        "whoever has refuted in vain is asked to say it again",
        ((View, "reproach", _reproach_the_silent),),
        (test_view.test_a_reproach_is_made_seldom_and_sooner_to_whoever_has_refuted,),
    ),
    Mutant(
        "hearsay of a death is not told on",
        (
            (View, "_bury", _remember_hearsay),
            (View, "rows", lambda self, now, of=None: _rows(self, -1e9, of)),
        ),
        (restarts.test_12_the_dead_are_forgotten_by_all_and_do_not_come_back_as_ghosts,),
    ),
    Mutant(
        "the pause guard",
        ((swim, "pause_s", lambda *_: 0.0),),
        (hard.test_13_whoever_was_suspected_when_we_fell_asleep_can_refute_when_we_wake_up,),
    ),
    Mutant(
        "joining is tried for ever",
        ((JoinClock, "asked", _ask_once),),
        (hard.test_15_a_hint_that_leads_nowhere_is_tried_again_for_ever,),
    ),
    Mutant(
        "newcomers that met each other go on looking for the cluster",
        ((JoinClock, "found", _give_up),),
        (test_exchange.test_newcomers_that_meet_one_another_first_go_on_looking_for_the_cluster,),
    ),
    Mutant(
        "a print is of the whole row",
        ((table, "_print", _print_of_the_claim),),
        (test_exchange.test_two_copies_of_one_machine_are_told_apart_by_an_exchange,),
    ),
    Mutant(
        "what the other has not is sent after",
        ((Exchange, "_ask", _ask_first_only),),
        (test_exchange.test_only_what_differs_is_sent,),
    ),
    Mutant(
        "every second probe goes to the neighbour",
        ((Ring, "neighbour", _nothing),),
        (test_lan.test_a_member_that_ends_is_missed_within_two_intervals_for_sure,),
    ),
    Mutant(
        "replays are dropped",
        ((_Window, "is_new", lambda *_: True),),
        (
            partial(
                hard.test_16_datagrams_that_overtake_one_another_and_come_twice_mislead_nobody, 1
            ),
        ),
    ),
    Mutant(
        "patience with whoever comes and goes",
        ((Refutations, "patience", lambda *_: 1),),
        (hard.test_one_that_flaps_is_called_unstable_and_given_more_time,),
    ),
    Mutant(
        "a digest that differs leads to an exchange",
        ((SyncClock, "round", _nothing),),
        (test_lan.test_what_rumors_missed_the_digest_repairs,),
    ),
)


def missed_by(mutant: Mutant) -> str:
    """The first test that fails without the rule, or nothing."""
    for test in mutant.tests:
        with ExitStack() as stack:
            for of, name, instead in mutant.patches:
                stack.enter_context(patch.object(of, name, instead))
            try:
                test()
            except AssertionError:
                return str(getattr(test, "func", test).__name__)
    return ""


def main() -> None:
    """Print the table."""
    print("| without the rule | fails |")
    print("|---|---|")
    for mutant in MUTANTS:
        print(f"| {mutant.rule} | `{missed_by(mutant) or 'NOTHING'}` |", flush=True)


if __name__ == "__main__":
    main()
