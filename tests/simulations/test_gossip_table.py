"""The table of membership in small: it says the same twice, and what it says is what we promise."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from simulations.gossip import lifeguard_paper, ours, swim_paper
from simulations.gossip.configurations import LAN, LIFEGUARD_TABLE
from simulations.gossip.network import Network
from simulations.gossip.observers import Noted, Outcome, latencies, percentile
from simulations.gossip.rows import Case, Outcomes, Row, printed

ROOT = Path(__file__).resolve().parents[2]
CELLS = ((4, 16.384, 0.064),)


def blocked(config: str, *, timers: bool) -> Outcome:
    return lifeguard_paper.interval(24, 34.0, CELLS, config, timers, 0)


@pytest.mark.parametrize("timers", [False, True])
def test_lifeguard_makes_fewer_mistakes_than_swim_and_we_make_none(timers: bool) -> None:
    swim = blocked("SWIM", timers=timers)
    lifeguard = blocked("Lifeguard", timers=timers)
    assert swim.fp >= 5, "or there is nothing to be better than"
    assert lifeguard.fp <= swim.fp * 0.2
    assert blocked("NanoBoost", timers=timers).fp == 0


def test_a_group_of_17_stays_whole_at_ten_per_cent_loss() -> None:
    outcome = swim_paper.group("lan, UDP only", 1)
    assert outcome.figure == (17, 17)
    assert outcome.fp == 0


def test_without_suspicions_that_group_does_not_last() -> None:
    peak, end = swim_paper.group("SWIM+Inf", 1).figure
    assert peak < 17
    assert end < peak


def test_swim_s_load_and_suspicion_are_those_of_the_paper() -> None:
    assert swim_paper.load(14, 0).messages * swim_paper.PERIOD_S == pytest.approx(2.0, abs=0.05)
    detected, heard, lasted = swim_paper.failure(10, 0).figure
    assert 0 < detected < 2 * 10 - 1
    assert 0 < heard < 5
    assert lasted == pytest.approx(swim_paper.FIG3C[10])


def test_whoever_is_in_trouble_harms_nobody_else() -> None:
    healed = ours.heal(10, 0)
    assert healed.fp == 0, "nobody was held dead by its own side"
    assert healed.full[0] <= 10 * LAN.probe_interval_s
    for play in (ours.deaf, ours.bad_cable, ours.pause):
        outcome = play(10, 0)
        assert outcome.fp_minus == 0, play
        assert outcome.full, play
        assert outcome.full[0] < 5.0, play


def test_what_is_promised_of_ten_nodes() -> None:
    quiet = ours.idle(10, 0)
    assert quiet.messages <= 4.5
    assert quiet.bytes <= 300
    for play, limit_s in (
        (ours.crash, 5.0),
        (ours.process_crash, 1.5),
        (ours.leave, 0.8),
        (ours.join_one, 0.7),
        (ours.join_mass, 1.0),
    ):
        outcome = play(10, 0)
        assert outcome.missed == 0
        assert outcome.full[0] < limit_s
        assert outcome.fp == 0


def test_a_stalled_member_reads_and_sends_when_it_goes_on() -> None:
    network = Network(1, LAN)
    network.start_settled(3, 2.0)
    network.stall(2, timers=True)
    sent = network.stations[2].sent
    network.run(1.0)
    assert network.stations[2].sent == sent
    assert network.stations[2].unread
    network.resume(2)
    network.run(0.01)
    assert network.stations[2].sent > sent
    assert network.stations[2].unread == []


def test_latencies_count_each_observer_once_and_all_of_them() -> None:
    notes = [Noted(1.0, 0, 9), Noted(3.0, 1, 9), Noted(4.0, 1, 9), Noted(9.0, 2, 8)]
    assert latencies(notes, 0.5, 9, (0, 1)) == (0.5, 2.5)
    assert latencies(notes, 0.5, 9, (0, 1, 2)) == (0.5, None)
    assert latencies(notes, 2.0, 9, (1,)) == (1.0, 1.0)


def test_percentiles_are_values_that_were_there() -> None:
    assert percentile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert percentile(range(1, 101), 0.99) == 99


def test_a_line_sums_its_runs_and_is_judged_by_the_first_of_its_scenario() -> None:
    def judge(outcomes: Outcomes, first: Outcomes) -> tuple[str, str]:
        return "published", f"{sum(each.fp for each in outcomes)} of {first[0].fp}"

    case = Case("s", 7, "c", lambda seed: Outcome(), (), range(2), judge)
    swim = (Outcome(fp=9),)
    row = Row(case, (Outcome(1, 0, (1.0,), (2.0,)), Outcome(2, 1, (), (), 1)), swim)
    facts = row.facts()
    assert (facts["fp"], facts["fp_minus"], facts["missed"]) == (3, 1, 1)
    lines = printed([row]).splitlines()
    assert len(lines) == 3
    assert "2.00 / 2.00 / 2.00 (1 never)" in lines[2]
    assert "3 of 9" in lines[2]


def test_every_configuration_of_the_lifeguard_table_differs_from_the_others() -> None:
    assert len(set(LIFEGUARD_TABLE.values())) == len(LIFEGUARD_TABLE)


def test_the_same_under_any_hash_seed() -> None:
    script = (
        "from simulations.gossip import ours, lifeguard_paper as l\n"
        "print(ours.join_mass(8, 3), ours.crash(8, 3))\n"
        "print(l.interval(12, 10.0, ((3, 4.0, 0.1),), 'NanoBoost', False, 0))\n"
    )
    told = [
        subprocess.run(
            [sys.executable, "-c", script],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert told[0] == told[1]
    assert "Outcome" in told[0]


def test_facts_are_json() -> None:
    case = Case("s", 7, "c", lambda seed: Outcome(), (), range(1))
    assert json.loads(json.dumps(Row(case, (Outcome(),), ()).facts()))["n"] == 7
