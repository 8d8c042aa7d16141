"""A job is cancelled while it ends, while tasks fail, and while the master is killed.

**A job ends once**: what a user was told stays true, and a cancelled job publishes nothing.
"""

from collections.abc import Iterator

from nanoboost.ids import JobId
from simulations.command.cli import main
from simulations.faults import CancelJob, Fault, Kill, Submit
from simulations.kernel.prng import Stream
from simulations.kernel.world import MS, SECOND
from simulations.stage.jobs import film
from simulations.stage.model import Model
from simulations.stage.scenario import Scenario, Stage


def faults(draw: Stream, model: Model) -> Iterator[Fault]:
    """Four short jobs, each cancelled at some moment; two kills of the master."""
    at = 4 * SECOND
    for number in range(4):
        at += draw.between(200 * MS, 1500 * MS)
        yield Submit(at, 0, f"short-{number}", 4, 300)
        yield CancelJob(at + draw.between(0, 3500 * MS), 0, f"short-{number}")
    for _ in range(2):
        yield Kill(draw.between(4 * SECOND, 9 * SECOND), SECOND, "master")


def check(stage: Stage) -> Iterator[str]:
    """Each job has one end, and what was answered is it.  (A master may die between the commit of
    an end and its word: the registry knows it still.)"""
    records = stage.lab.records.records
    for job in stage.lab.jobs:
        ends = {
            record["state"]
            for record in records
            if record.event == "job" and record["job"] == job and record["state"] in FINAL
        }
        told = {
            record["state"]
            for record in records
            if record.event == "cancel_answered" and record["job"] == job
        }
        if (state := stage.registry.get(JobId(job))) is not None:
            ends |= {state.name.lower()} & {*FINAL}
        if len(ends) > 1 or not told <= ends | {"publishing"}:
            yield f"T6 {job} ended {sorted(ends)}, users were told {sorted(told)}"


FINAL = ("done", "failed", "cancelled")
SCENARIO = Scenario(
    "cancel_race",
    "Four short jobs are cancelled at any moment, while the master is killed twice.",
    film(20),
    faults,
    marks=("a job cancelled", "job done"),
    check=check,
    exits=(0, 1),
)

if __name__ == "__main__":
    main(SCENARIO)
