"""Hard cases 2, 10, 12 and 14: whoever ends, leaves or is forgotten, and comes back or must not.

(What is checked at every step: test_hard_cases.py.)
"""

from functools import partial

import pytest
from attrs import evolve

from nanoboost.config import PROFILES
from nanoboost.gossip.effects import MemberLeft, MemberUp
from nanoboost.gossip.members import State
from nanoboost.gossip.messages import Sync
from tests.gossip.lan import Lan
from tests.gossip.settled import downs, started

LOCAL = PROFILES["local"].gossip


def has_ended(lan: Lan, node: int) -> bool:
    """Whether the process of `node` has ended."""
    return not lan.nodes[node].is_running


# --- 2: a restart with a lower incarnation, and of many at once ----------------------------------


def test_02_the_death_of_the_last_run_does_not_catch_a_restart() -> None:
    lan = started(8)
    lan.crash(3, unplug=False)
    lan.until(lambda: lan.state(0, 3) is State.DEAD, 10.0)  # the rumor is on its way
    lan.start(3, generation=2)
    lan.until(lan.agreed, 2.0)
    lan.heard.clear()
    lan.run(20.0)
    assert lan.heard == []


def test_02_a_state_from_a_backup_is_told_and_outbids_what_is_held_against_it() -> None:
    lan = started(8)
    for generation in (2, 3, 4):
        lan.crash(3, unplug=False)
        lan.run(0.5)
        lan.start(3, generation=generation)
        lan.run(2.0)
    lan.crash(3, unplug=False)
    lan.until(lambda: lan.all_hold(3, State.DEAD), 10.0)
    lan.start(3, generation=1)
    lan.until(lan.agreed, 2.0)
    assert lan.nodes[3].generation >= 4, "and its next start comes after all of them"


def test_02_all_restart_within_a_second_while_old_tables_travel() -> None:
    lan = started(20)
    old = lan.nodes[0].swim.rows()
    for each in range(20):
        lan.crash(each, unplug=False)
        lan.run(0.05)
        lan.start(each, seeds=((each + 1) % 20,), generation=2)
    lan.until(lan.agreed, 5.0)
    lan.run(2.0)  # until all know all by their second generation
    lan.heard.clear()
    lan.ask(7, Sync(old))
    lan.run(10.0)
    assert lan.heard == [], "what was true before the restart is no news"
    assert lan.agreed()


# --- 10: left, or failed? ------------------------------------------------------------------------


@pytest.mark.parametrize("loss", [0.0, 0.2])
def test_10_half_of_all_leave_and_come_back_at_once(loss: float) -> None:
    lan = started(16, loss=loss)
    for each in range(8, 16):
        lan.leave(each)
    lan.run(0.3)
    for each in range(8, 16):
        lan.until(partial(has_ended, lan, each), 2.0)
        lan.start(each, generation=2)
    lan.until(lan.agreed, 10.0)
    lan.run(10.0)
    assert lan.agreed()


def test_10_a_goodbye_is_not_overtaken_by_the_detection_of_a_failure() -> None:
    lan = started(10)
    lan.leave(4)
    lan.until(lambda: not lan.nodes[4].is_running, 2.0)
    lan.run(20.0)
    assert downs(lan) == []
    assert len(lan.said(MemberLeft, 4)) == 9
    assert lan.all_hold(4, State.LEFT)


# --- 12: the dead are forgotten too soon, or never -----------------------------------------------


def test_12_the_dead_are_forgotten_by_all_and_do_not_come_back_as_ghosts() -> None:
    timing = evolve(LOCAL, dead_memory_s=10.0, sync_interval_s=2.5)
    lan = started(8, timing=timing)
    lan.crash(3)
    lan.until(lambda: lan.all_hold(3, State.DEAD), 10.0)
    told = 0
    for step in range(10):
        if step < 4:
            lan.start(10 + step)  # newcomers, who hear of it from tables
        lan.run(4.0)
        told += sum(len(node.swim.members) for node in lan.running())
    assert lan.said(MemberUp, 3) == []
    assert all(lan.state(node.number, 3) is None for node in lan.running())
    lan.heard.clear()
    lan.run(20.0)
    assert lan.heard == []
    assert all(lan.state(node.number, 3) is None for node in lan.running())


# --- 14: an isolated restart finds nobody --------------------------------------------------------


def test_14_peers_of_the_last_run_are_looked_for_although_they_were_dead() -> None:
    lan = started(5)
    for each in range(5):
        lan.crash(each)
    lan.run(60.0)
    lan.start(4, seeds=(), generation=2, peers=(0, 1, 2, 3))
    lan.run(30.0)
    for each in range(4):
        lan.start(each, seeds=(), generation=2)
    lan.until(lan.agreed, 20.0)
