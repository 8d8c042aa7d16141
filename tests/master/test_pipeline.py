"""The walks through the master's core: one event at a time, and the whole list of what it wants."""

from nanoboost.core import Woke
from nanoboost.ids import Attempt, JobId
from nanoboost.master.closing import PLANS_KEPT
from nanoboost.master.events import (
    Answer,
    Asked,
    Chore,
    ChoreDone,
    ChoreFailed,
    CleanJob,
    DoneReceived,
    FrontierFailed,
    FrontierRead,
    Journal,
    MastershipChanged,
    MemberLost,
    MemberUp,
    PlanRead,
    ProposalRefused,
    Propose,
    PublishResults,
    ReadFrontier,
    ReadPlan,
    RecordCommitted,
    Send,
)
from nanoboost.nas.messages import Published
from nanoboost.wire.messages import (
    Acknowledge,
    GetJob,
    JobState,
    MasterHere,
    NotMaster,
    Outcome,
    RequestRefused,
    Submitted,
)
from nanoboost.wire.records import FrontierSet, JobEnded, JobEntry, JobSubmitted
from tests.master.bench import (
    CHAIN,
    JOB,
    ME,
    OTHER,
    SUBMIT,
    Bench,
    done,
    entry,
    execute,
    frontier,
    frontiers,
    key,
    parent,
    submitted,
    takeover,
)
from tests.master.plans import CODE, DIGEST, plan

# --- the main walk --------------------------------------------------------------------------------


def test_a_node_that_is_not_master_wants_nothing() -> None:
    bench = Bench()
    assert bench.poke(MemberUp(OTHER, "two")) == []
    assert bench.poke(RecordCommitted(2, submitted(2))) == []
    assert bench.poke(DoneReceived(OTHER, done(key(0)))) == []
    assert bench.poke(Asked(4, GetJob(5, JOB))) == [Answer(4, NotMaster(5, "", 0))]
    assert bench.core.deadline() is None


def test_a_new_master_reads_the_log_then_asks_its_agents() -> None:
    bench = Bench()
    bench.poke(MemberUp(OTHER, "two"))
    assert bench.poke(MastershipChanged(3, True)) == [ReadFrontier(3)]
    assert bench.poke(FrontierFailed(3)) == []
    assert bench.poke(Woke(), after=0.06) == [ReadFrontier(3)]
    assert bench.poke(FrontierRead(3, ())) == [Send(ME, MasterHere(3)), Send(OTHER, MasterHere(3))]
    assert bench.poke(Woke()) == []
    assert bench.hello(3, OTHER) == []
    assert bench.poke(Woke(), after=0.3) == [Send(ME, MasterHere(3))]


def test_a_job_from_its_submission_to_its_end() -> None:
    bench = Bench()
    bench.reign()
    assert bench.poke(Asked(1, SUBMIT)) == [ReadPlan(JOB, DIGEST)]
    assert bench.poke(Asked(2, SUBMIT)) == [], "it is on its way already"
    assert bench.poke(PlanRead(JOB, DIGEST, CHAIN)) == [Propose(3, submitted(2))]
    facts = (("job", JOB), ("task", 0), ("attempt", "3.1"), ("name", "Nano-0000"))
    assert bench.poke(RecordCommitted(3, submitted(2))) == [
        Answer(1, Submitted(7, JOB)),
        Answer(2, Submitted(7, JOB)),
        Journal("submitted", (("job", JOB),)),
        Send(ME, execute(key(0), "Nano-0000")),
        Journal("execute", (*facts, ("agent", ME), ("term", 3))),
    ]
    first, both = frontier(2, key(0)), frontier(2, key(0), key(1))
    assert bench.done(key(0)) == [
        Send(ME, execute(key(1), "Nano-0001", parent(0))),
        Propose(3, FrontierSet(JOB, first)),
    ]
    assert bench.done(key(1), read=(parent(0),)) == [], "one frontier is in flight"
    assert bench.poke(RecordCommitted(3, FrontierSet(JOB, first))) == [
        Journal("finished", (("job", JOB), ("task", 0), ("attempt", "3.1"))),
        Send(ME, Acknowledge(3, (key(0),))),
    ]
    assert bench.poke(Woke(), after=0.02) == [Propose(3, FrontierSet(JOB, both))]
    assert bench.poke_quietly(RecordCommitted(3, FrontierSet(JOB, both))) == [
        Send(ME, Acknowledge(3, (key(1),))),
        Propose(3, JobEnded(JOB, JobState.PUBLISHING, "")),
    ]
    assert bench.poke_quietly(RecordCommitted(3, JobEnded(JOB, JobState.PUBLISHING, ""))) == [
        PublishResults(JOB, (Published(key(1), ("1.out",)),))
    ]
    assert bench.poke(ChoreDone(JOB, Chore.PUBLISH)) == [
        Propose(3, JobEnded(JOB, JobState.DONE, ""))
    ]
    assert bench.poke(RecordCommitted(3, JobEnded(JOB, JobState.DONE, ""))) == [
        Journal("job", (("job", JOB), ("state", "done"))),
        CleanJob(JOB),
    ]
    assert bench.poke(ChoreDone(JOB, Chore.CLEAN)) == []
    assert bench.report().state is JobState.DONE
    assert bench.poke(Asked(3, SUBMIT)) == [Answer(3, Submitted(7, JOB))]


def test_a_duplicate_is_acknowledged_again_but_not_before_the_commit() -> None:
    bench = Bench()
    bench.reign()
    bench.run()
    (committed,) = frontiers(bench.done(key(0)))
    assert bench.done(key(0)) == []
    bench.poke(RecordCommitted(3, committed))
    assert bench.done(key(0)) == [Send(ME, Acknowledge(3, (key(0),)))]


def test_a_refused_frontier_is_proposed_again() -> None:
    bench = Bench()
    bench.reign()
    bench.run()
    (proposed,) = frontiers(bench.done(key(0)))
    assert bench.poke(ProposalRefused(3, proposed)) == []
    assert bench.poke(Woke(), after=0.03) == [Propose(3, proposed)]


def test_a_refused_submission_is_proposed_again() -> None:
    bench = Bench()
    bench.reign()
    bench.poke(Asked(1, SUBMIT))
    (proposal,) = bench.poke(PlanRead(JOB, DIGEST, CHAIN))
    assert bench.poke(ProposalRefused(3, proposal.record)) == []
    assert bench.poke(Woke(), after=0.2) == [proposal]


# --- the NAS --------------------------------------------------------------------------------------


def test_a_publish_that_fails_is_told_and_tried_again() -> None:
    bench = takeover(entry(JobState.PUBLISHING, key(0), key(1)))
    assert bench.poke(ChoreFailed(JOB, Chore.PUBLISH, "No space left")) == []
    assert bench.report().note == "publishing the results failed, trying again: No space left"
    publish = PublishResults(JOB, (Published(key(1), ("1.out",)),))
    assert publish in bench.poke(Woke(), after=0.6)
    bench.poke(ChoreFailed(JOB, Chore.PUBLISH, "No space left"))
    assert publish not in bench.poke(Woke(), after=0.6), "ever more slowly"
    assert publish in bench.poke(Woke(), after=0.6)
    bench.poke(ChoreDone(JOB, Chore.PUBLISH))
    assert bench.report().note == "the results are being published"


def test_a_plan_that_cannot_be_read_after_a_failover_is_told_and_tried_again() -> None:
    bench = Bench()
    bench.poke(MastershipChanged(4, True))
    bench.poke(FrontierRead(4, (entry(),)))
    bench.poke(ChoreFailed(JOB, Chore.PLAN, "it hangs"))
    assert bench.report().note == "reading the plan failed, trying again: it hangs"
    assert ReadPlan(JOB, DIGEST) in bench.poke(Woke(), after=0.6)


def test_a_submission_whose_plan_cannot_be_read_is_refused() -> None:
    bench = Bench()
    bench.reign()
    bench.poke(Asked(1, SUBMIT))
    (answer,) = bench.poke(ChoreFailed(JOB, Chore.PLAN, "no such file"))
    assert answer == Answer(1, RequestRefused(7, "the plan cannot be used: no such file"))
    assert bench.poke(Asked(2, SUBMIT)) == [ReadPlan(JOB, DIGEST)], "it may be there now"


# --- odd members, long lives ----------------------------------------------------------------------


def test_what_an_agent_ran_under_a_name_that_is_given_only_later_is_none_of_that_jobs() -> None:
    bench = Bench()
    bench.reign(slots=4)
    for task in (0, 99):
        bench.hello(3, slots=4, running=(key(task),))
    assert bench.run() == [
        Answer(1, Submitted(7, JOB)),
        Send(ME, execute(key(0), "Nano-0000")),
    ]
    assert bench.report().classes[0].running == (("one", 1),)
    bench.poke(MemberLost(ME))


def test_an_attempt_that_has_failed_and_is_said_to_run_again_leaves_no_slot_taken() -> None:
    bench = Bench()
    bench.reign(slots=2)
    bench.run()
    bench.done(key(0), outcome=Outcome.CANCELLED)
    bench.hello(3, slots=2, running=(key(0), key(0, n=2)))
    bench.done(key(0), outcome=Outcome.CANCELLED)
    assert bench.core.agents(bench.now)[ME].busy == 1


def test_of_a_job_that_ended_long_ago_only_what_a_report_shows_is_kept() -> None:
    bench = Bench()
    entries = tuple(
        JobEntry(
            JobSubmitted(JobId(f"old-{number}"), "Graph", DIGEST, CODE, 0, 2),
            JobState.DONE,
            "",
            frontier(2, key(0), key(1)),
        )
        for number in range(PLANS_KEPT)
    )
    bench.reign(entries=entries)
    bench.run(plan([[], []]))
    bench.done(key(0), outcome=Outcome.FAILED, error="boom")
    bench.done(key(0, n=2))
    bench.done(key(1))
    reign = bench.core._reign
    assert reign is not None
    job = reign.jobs[JOB]
    assert len(job.past) == 2
    bench.poke(RecordCommitted(3, JobEnded(JOB, JobState.CANCELLED, "")))
    for old in entries:
        bench.poke(Asked(4, GetJob(8, old.submitted.job)))
        bench.poke(PlanRead(old.submitted.job, DIGEST, plan([[], []])))
    assert job.scheduler is None
    assert {task: list(ends) for task, ends in job.past.items()} == {0: [Attempt(3, 1)]}
    bench.poke(Asked(5, GetJob(8, JOB)))
    (answer,) = bench.poke(PlanRead(JOB, DIGEST, plan([[], []])))
    assert [failure.error for failure in answer.message.failures] == ["boom"]
