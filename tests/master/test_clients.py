"""What clients ask the master's core, and what they are answered."""

from typing import Any

from nanoboost.core import Woke
from nanoboost.ids import JobId
from nanoboost.master.events import (
    Answer,
    Asked,
    Chore,
    ChoreDone,
    ChoreFailed,
    CleanJob,
    FrontierRead,
    MastershipChanged,
    PlanRead,
    Propose,
    PublishResults,
    ReadPlan,
    RecordCommitted,
    Send,
)
from nanoboost.wire.messages import (
    Acknowledge,
    Cancel,
    CancelAttempt,
    Cancelled,
    FindTask,
    GetJob,
    JobState,
    Outcome,
    RequestRefused,
    Submit,
    TaskFound,
)
from nanoboost.wire.records import JobEnded
from tests.master.bench import CHAIN, JOB, ME, Bench, entry, key, takeover
from tests.master.plans import CODE, DIGEST, plan


def test_a_job_is_cancelled_and_cleaned_when_nothing_of_it_runs() -> None:
    bench = Bench()
    bench.reign()
    bench.run()
    end = JobEnded(JOB, JobState.CANCELLED, "by request")
    assert bench.poke(Asked(4, Cancel(8, JOB))) == [Propose(3, end)]
    assert bench.poke(Asked(5, Cancel(9, JOB))) == []
    assert bench.poke_quietly(RecordCommitted(3, end)) == [
        Send(ME, CancelAttempt(3, key(0))),
        Answer(4, Cancelled(8, JOB, "cancelled")),
        Answer(5, Cancelled(9, JOB, "cancelled")),
    ]
    assert bench.done(key(0), outcome=Outcome.CANCELLED) == [
        Send(ME, Acknowledge(3, (key(0),))),
        CleanJob(JOB),
    ]
    assert bench.poke(Asked(6, Cancel(1, JOB))) == [Answer(6, Cancelled(1, JOB, "cancelled"))]


PUBLISHING = JobEnded(JOB, JobState.PUBLISHING, "")
CANCELLED = JobEnded(JOB, JobState.CANCELLED, "by request")


def publishes(effects: list[Any]) -> bool:
    return any(isinstance(each, PublishResults) for each in effects)


def test_nothing_is_published_of_a_job_that_is_being_cancelled() -> None:
    """The end of its last task was committed first, and its state is not yet."""
    bench = Bench()
    bench.reign()
    bench.run(plan([[]]))
    (finished,) = [each for each in bench.done(key(0)) if isinstance(each, Propose)]
    assert Propose(3, PUBLISHING) in bench.poke(RecordCommitted(3, finished.record))
    assert bench.poke(Asked(4, Cancel(8, JOB))) == [Propose(3, CANCELLED)]
    assert not publishes(bench.poke(RecordCommitted(3, PUBLISHING)))
    effects = bench.poke(RecordCommitted(3, CANCELLED))
    assert Answer(4, Cancelled(8, JOB, "cancelled")) in effects
    assert not publishes(effects)


def test_who_cancels_what_is_being_published_hears_how_that_went() -> None:
    bench = takeover(entry(JobState.PUBLISHING, key(0), key(1)))
    assert bench.poke(Asked(4, Cancel(8, JOB))) == []
    done = JobEnded(JOB, JobState.DONE, "")
    assert bench.poke(ChoreDone(JOB, Chore.PUBLISH)) == [Propose(4, done)]
    assert Answer(4, Cancelled(8, JOB, "done")) in bench.poke(RecordCommitted(4, done))


def test_what_cannot_be_published_can_be_cancelled() -> None:
    bench = takeover(entry(JobState.PUBLISHING, key(0), key(1)))
    assert bench.poke(Asked(4, Cancel(8, JOB))) == []
    failed = ChoreFailed(JOB, Chore.PUBLISH, "No space left")
    assert bench.poke(failed) == [Propose(4, CANCELLED)]
    assert not publishes(bench.poke(Woke(), after=20))
    assert Answer(4, Cancelled(8, JOB, "cancelled")) in bench.poke(RecordCommitted(4, CANCELLED))


def test_what_is_to_be_published_again_later_is_cancelled_at_once() -> None:
    bench = takeover(entry(JobState.PUBLISHING, key(0), key(1)))
    bench.poke(ChoreFailed(JOB, Chore.PUBLISH, "No space left"))
    assert bench.poke(Asked(4, Cancel(8, JOB))) == [Propose(4, CANCELLED)]
    assert not publishes(bench.poke(Woke(), after=20))


def test_what_makes_no_sense_is_refused_in_one_line() -> None:
    bench = Bench()
    bench.reign()
    bench.run()

    def refusal(question: Any) -> str:
        (answer,) = bench.poke(Asked(4, question))
        assert isinstance(answer.message, RequestRefused)
        return answer.message.reason

    other = "b" * 64
    assert "another plan" in refusal(Submit(7, JOB, "Graph", other, CODE, 0))
    assert "id" in refusal(Submit(7, JobId("../up"), "Graph", DIGEST, CODE, 0))
    assert "SHA-256" in refusal(Submit(7, JobId("new"), "Graph", "../up", CODE, 0))
    assert "no job" in refusal(GetJob(7, JobId("unknown")))
    assert "no job" in refusal(Cancel(7, JobId("unknown")))
    assert "no task" in refusal(FindTask(7, JOB, "Nano-0009"))


def test_the_logs_of_a_task_are_found_with_the_nodes_that_ran_it() -> None:
    bench = Bench()
    bench.reign()
    bench.run()
    bench.done(key(0), outcome=Outcome.CANCELLED)

    def find(name: str) -> TaskFound:
        (answer,) = bench.poke(Asked(4, FindTask(7, JOB, name)))
        assert isinstance(answer.message, TaskFound)
        return answer.message

    assert find("Nano-0000").state == "running"
    assert find("Nano-0001") == TaskFound(7, "waiting for its parents", ())
    bench.done(key(0, n=2))
    found = find("Nano-0000")
    assert found.state == "done"
    assert [(str(each.attempt), each.node, each.log) for each in found.attempts] == [
        ("3.1", "one", ".nanoboost/jobs/job/0/3.1.part/log"),
        ("3.2", "one", ".nanoboost/jobs/job/0/3.2/log"),
    ]


def test_questions_about_a_job_that_ended_long_ago_wait_for_its_plan() -> None:
    bench = Bench()
    bench.poke(MastershipChanged(4, True))
    bench.poke(FrontierRead(4, (entry(JobState.DONE, key(0), key(1)),)))
    assert bench.poke(Asked(4, FindTask(7, JOB, "Nano-0001"))) == [ReadPlan(JOB, DIGEST)]
    assert bench.poke(Asked(5, GetJob(8, JOB))) == []
    found, report = bench.poke(PlanRead(JOB, DIGEST, CHAIN))
    assert found.message.attempts[0].log == ".nanoboost/jobs/job/1/3.1/log"
    assert (report.message.classes[0].done, report.message.state) == (2, JobState.DONE)


def test_a_report_shows_where_tasks_run_and_what_is_left() -> None:
    bench = Bench()
    bench.reign(slots=2)
    bench.run(plan([[]] * 6))
    report = bench.report()
    assert report.classes[0].running == (("one", 2),)
    assert (report.ran, report.left_s) == (2, -1.0)
    bench.done(key(0))
    report = bench.report()
    assert report.classes[0].done == 1
    assert 2.0 < report.left_s < 3.0, "five tasks of a second in two slots"
    (summary,) = bench.core.summaries()
    assert (summary.done, summary.total, summary.state) == (1, 6, JobState.RUNNING)


def test_without_any_slot_the_job_says_so() -> None:
    bench = Bench()
    bench.reign(slots=0)
    bench.run()
    assert bench.report().note == "no node has a slot"
