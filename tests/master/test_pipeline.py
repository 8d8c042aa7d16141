"""The walks through the master's core: one event at a time, and the whole list of what it wants."""

from typing import Any

from nanoboost.config import MasterTiming
from nanoboost.core import Woke
from nanoboost.frontier import Frontier
from nanoboost.ids import Attempt, AttemptKey, JobId, NodeId, TaskId
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
    HelloReceived,
    Journal,
    MastershipChanged,
    MemberLost,
    MemberRefused,
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
from nanoboost.master.pipeline import Pipeline
from nanoboost.nas.messages import Published
from nanoboost.plan import Plan
from nanoboost.wire.messages import (
    Acknowledge,
    AgentHello,
    Cancel,
    CancelAttempt,
    Cancelled,
    Execute,
    FindTask,
    GetJob,
    JobReport,
    JobState,
    MasterHere,
    NotMaster,
    Outcome,
    Parent,
    RequestRefused,
    Submit,
    Submitted,
    TaskDone,
    TaskFound,
)
from nanoboost.wire.records import FrontierSet, JobEnded, JobEntry, JobSubmitted
from tests.master.plans import CODE, DIGEST, nano, node, plan

TIMING = MasterTiming(flush_interval_s=0.02, hello_grace_s=1.0, hello_repeat_s=0.25)
ME, OTHER = node(1), node(2)
JOB = JobId("job")
CHAIN = plan([[], [0]])
SUBMIT = Submit(7, JOB, "Graph", DIGEST, CODE, 0)


class Bench:
    """A pipeline on the table: `poke` it, look at what it wants."""

    def __init__(self) -> None:
        self.now = 100.0
        self.core = Pipeline(ME, TIMING)

    def poke(self, event: Any, after: float = 0.001) -> list[Any]:
        self.now += after
        return list(self.core.step(self.now, event))

    def poke_quietly(self, event: Any, after: float = 0.001) -> list[Any]:
        """The same without what goes to the journal."""
        return [each for each in self.poke(event, after) if not isinstance(each, Journal)]

    def reign(self, term: int = 3, entries: tuple[JobEntry, ...] = (), slots: int = 1) -> None:
        """Become the master, with this node as the only agent."""
        self.poke(MemberUp(ME, "one"))
        self.poke(MastershipChanged(term, True))
        self.poke(FrontierRead(term, entries))
        self.hello(term, slots=slots)

    def hello(self, term: int, who: NodeId = ME, **facts: Any) -> list[Any]:
        return self.poke_quietly(HelloReceived(who, hello(term, **facts)))

    def run(self, found: Plan = CHAIN) -> list[Any]:
        """Submit the job; return what that starts."""
        self.poke(Asked(1, SUBMIT))
        self.poke(PlanRead(JOB, DIGEST, found))
        return self.poke_quietly(RecordCommitted(3, submitted(len(found.tasks))))

    def done(self, key: AttemptKey, **facts: Any) -> list[Any]:
        return self.poke_quietly(DoneReceived(facts.pop("who", ME), done(key, **facts)))

    def report(self) -> JobReport:
        (answer,) = self.poke_quietly(Asked(9, GetJob(5, JOB)))
        assert isinstance(answer.message, JobReport)
        return answer.message


def hello(term: int, **facts: Any) -> AgentHello:
    defaults: dict[str, Any] = {"slots": 1, "speed": 1.0, "labels": (), "running": (), "held": ()}
    return AgentHello(term=term, **{**defaults, "fit": "", "draining": False, **facts})


def submitted(tasks: int) -> JobSubmitted:
    return JobSubmitted(JOB, "Graph", DIGEST, CODE, 0, tasks)


def key(task: int, term: int = 3, n: int = 1) -> AttemptKey:
    return AttemptKey(JOB, TaskId(task), Attempt(term, n))


def done(
    which: AttemptKey,
    outcome: Outcome = Outcome.DONE,
    read: tuple[Parent, ...] = (),
    error: str = "",
    tail: str = "",
) -> TaskDone:
    return TaskDone(which, outcome, read, 1.0, 1.0, error, tail)


def execute(which: AttemptKey, name: str, *parents: Parent, term: int = 3) -> Execute:
    return Execute(term, which, DIGEST, CODE, parents, 0.0, name)


def parent(task: int, term: int = 3, n: int = 1) -> Parent:
    return Parent(TaskId(task), Attempt(term, n))


def frontier(tasks: int, *finished: AttemptKey) -> bytes:
    made = Frontier.empty(tasks)
    for each in finished:
        made.finish(each.task, each.attempt)
    return made.encode()


def entry(state: JobState = JobState.RUNNING, *finished: AttemptKey, tasks: int = 2) -> JobEntry:
    return JobEntry(submitted(tasks), state, "", frontier(tasks, *finished))


def frontiers(effects: list[Any]) -> list[FrontierSet]:
    records = [each.record for each in effects if isinstance(each, Propose)]
    return [each for each in records if isinstance(each, FrontierSet)]


# --- the main walk ---------------------------------------------------------------------------


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


# --- agents come and go ----------------------------------------------------------------------


def test_a_lost_agents_attempt_starts_elsewhere_at_once_and_its_late_result_still_wins() -> None:
    bench = Bench()
    bench.reign(slots=0)
    bench.poke(MemberUp(OTHER, "two"))
    bench.hello(3, OTHER)
    assert bench.run() == [
        Answer(1, Submitted(7, JOB)),
        Send(OTHER, execute(key(0), "Nano-0000")),
    ]
    bench.hello(3, slots=1)
    assert bench.poke_quietly(MemberLost(OTHER)) == [
        Send(ME, execute(key(0, n=2), "Nano-0000")),
    ]
    effects = bench.done(key(0), who=OTHER)
    assert effects == [
        Send(ME, CancelAttempt(3, key(0, n=2))),
        Propose(3, FrontierSet(JOB, frontier(2, key(0)))),
    ], "the slot is not free before the cancelled attempt says so"
    assert bench.done(key(0, n=2), outcome=Outcome.CANCELLED) == [
        Send(ME, execute(key(1), "Nano-0001", parent(0)))
    ]


def test_a_refused_connection_loses_what_ran_there_and_the_member_is_asked_until_it_is_back() -> (
    None
):
    bench = Bench()
    bench.reign()
    bench.run()
    (counted,) = bench.poke(MemberRefused(ME))
    assert isinstance(counted, Propose), "the task may be why"
    assert bench.poke(Woke(), after=0.3) == [Send(ME, MasterHere(3))]
    assert bench.hello(3) == [], "first it must be in the log that it was there"
    again = bench.poke_quietly(RecordCommitted(3, counted.record))
    assert again == [Send(ME, execute(key(0, n=2), "Nano-0000"))]


def test_a_task_whose_node_dies_each_time_takes_no_more_nodes_along_after_a_while() -> None:
    """Seen in the simulator: one poisoned task killed 52 nodes in 90 s, and would still."""
    bench = Bench()
    bench.reign()
    bench.run()
    for n in range(2, 5):
        bench.hello(3)
        counted = bench.poke(MemberRefused(ME), after=0.3)[-1]
        assert isinstance(counted, Propose)
        bench.hello(3)
        again = bench.poke_quietly(RecordCommitted(3, counted.record))
        assert Send(ME, execute(key(0, n=n), "Nano-0000")) in again
    bench.poke(MemberRefused(ME), after=0.3)
    bench.hello(3)
    report = bench.report()
    assert report.failures[-1].error == "its node's process ended while it ran"
    effects = bench.poke(Woke(), after=0.3)
    assert not any(isinstance(each, Send) and isinstance(each.message, Execute) for each in effects)


def test_a_hello_that_does_not_name_a_run_loses_it_but_not_one_that_may_have_crossed() -> None:
    bench = Bench()
    bench.reign()
    bench.run()
    assert bench.hello(3) == [], "the Execute may still be on its way"
    bench.now += 1.0
    assert bench.hello(3) == [Send(ME, execute(key(0, n=2), "Nano-0000"))]


def test_a_busy_agent_that_is_silent_is_asked_now_and_then() -> None:
    bench = Bench()
    bench.reign()
    bench.run()
    deadline = bench.core.deadline()
    assert deadline is not None
    bench.now = deadline
    assert bench.poke(Woke(), after=0.0) == [Send(ME, MasterHere(3))]


def test_a_draining_agent_and_one_without_its_nas_get_nothing() -> None:
    bench = Bench()
    bench.reign(slots=1)
    bench.hello(3, draining=True)
    assert bench.run() == [Answer(1, Submitted(7, JOB))]
    assert bench.hello(3, fit="/nas is not mounted") == []
    assert "one: /nas is not mounted" in bench.report().note
    assert bench.hello(3) == [Send(ME, execute(key(0), "Nano-0000"))]


def test_an_agent_is_never_given_more_than_it_has_slots_for() -> None:
    bench = Bench()
    bench.reign(slots=3)
    wide = plan([[]] * 5, [nano(cores=2)])
    assert bench.run(wide) == [
        Answer(1, Submitted(7, JOB)),
        Send(ME, execute(key(0), "Nano-0000")),
    ]
    (view,) = bench.core.agents(bench.now).values()
    assert (view.slots, view.busy) == (3, 2)


def test_a_hello_from_a_dead_member_or_for_an_earlier_master_is_ignored() -> None:
    bench = Bench()
    bench.reign()
    assert bench.hello(3, OTHER) == []
    bench.poke(MemberUp(OTHER, "two"))
    assert bench.hello(2, OTHER) == []
    assert list(bench.core.agents(bench.now)) == [ME]


# --- a new master ----------------------------------------------------------------------------


def takeover(*entries: JobEntry, members: tuple[NodeId, ...] = ()) -> Bench:
    """A master of term 4 that has read the log and waits for hellos."""
    bench = Bench()
    for each in members:
        bench.poke(MemberUp(each, "two"))
    bench.poke(MastershipChanged(4, True))
    effects = bench.poke_quietly(FrontierRead(4, entries))
    assert ReadPlan(JOB, DIGEST) in effects
    bench.poke(PlanRead(JOB, DIGEST, CHAIN))
    return bench


def test_a_new_master_starts_nothing_before_all_live_members_are_heard() -> None:
    bench = takeover(entry(), members=(OTHER,))
    assert bench.hello(4) == []
    assert bench.hello(4, OTHER) == [Send(ME, execute(key(0, 4), "Nano-0000", term=4))]


def test_a_new_master_waits_for_nobody_who_is_known_to_be_gone_or_silent_for_long() -> None:
    for event in (MemberLost(OTHER), MemberRefused(OTHER)):
        bench = takeover(entry(), members=(OTHER,))
        bench.hello(4)
        assert bench.poke_quietly(event) == [Send(ME, execute(key(0, 4), "Nano-0000", term=4))]
    bench = takeover(entry(), members=(OTHER,))
    bench.hello(4)
    assert "waits for two" in bench.report().note
    effects = bench.poke_quietly(Woke(), after=1.1)
    assert Send(ME, execute(key(0, 4), "Nano-0000", term=4)) in effects


def test_a_new_job_does_not_wait_for_the_hellos() -> None:
    bench = Bench()
    bench.poke(MemberUp(OTHER, "two"))
    bench.poke(MastershipChanged(3, True))
    bench.poke(FrontierRead(3, ()))
    bench.hello(3)
    assert Send(ME, execute(key(0), "Nano-0000")) in bench.run()


def test_running_attempts_are_adopted_and_their_results_win() -> None:
    bench = takeover(entry())
    assert bench.hello(4, running=(key(0),)) == []
    assert bench.done(key(0)) == [
        Send(ME, execute(key(1, 4), "Nano-0001", parent(0), term=4)),
        Propose(4, FrontierSet(JOB, frontier(2, key(0)))),
    ]


def test_held_results_take_no_slot_and_are_waited_for() -> None:
    bench = takeover(entry())
    assert bench.hello(4, held=(key(0),)) == []
    (view,) = bench.core.agents(bench.now).values()
    assert view.busy == 0


def test_a_child_that_comes_before_its_parent_is_parked_until_that_comes() -> None:
    bench = takeover(entry())
    bench.hello(4, held=(key(1), key(0)))
    assert bench.done(key(1), read=(parent(0),)) == []
    assert bench.done(key(0)) == [Propose(4, FrontierSet(JOB, frontier(2, key(0), key(1))))]


def test_a_child_that_has_read_a_losing_attempt_is_refused_and_runs_again() -> None:
    bench = takeover(entry(JobState.RUNNING, key(0, n=2)))
    bench.hello(4, held=(key(1),))
    assert bench.done(key(1), read=(parent(0, n=1),)) == [
        Send(ME, Acknowledge(4, (key(1),))),
        Send(ME, execute(key(1, 4), "Nano-0001", parent(0, n=2), term=4)),
    ]


def test_a_result_that_has_read_what_nobody_has_made_is_refused() -> None:
    bench = Bench()
    bench.reign(slots=2)
    bench.run(plan([[], []]))
    effects = bench.done(key(1), read=(parent(0),))
    assert effects == [
        Send(ME, Acknowledge(3, (key(1),))),
        Send(ME, execute(key(1, n=2), "Nano-0001")),
    ]


def test_a_result_that_comes_before_the_plan_waits_for_it() -> None:
    bench = Bench()
    bench.poke(MastershipChanged(4, True))
    bench.poke(FrontierRead(4, (entry(),)))
    bench.hello(4, held=(key(0),))
    assert bench.done(key(0)) == []
    assert bench.poke_quietly(PlanRead(JOB, DIGEST, CHAIN)) == [
        Send(ME, execute(key(1, 4), "Nano-0001", parent(0), term=4)),
        Propose(4, FrontierSet(JOB, frontier(2, key(0)))),
    ]


def test_what_runs_of_a_job_that_is_over_is_cancelled_and_its_results_are_not_wanted() -> None:
    bench = Bench()
    bench.poke(MastershipChanged(4, True))
    bench.poke(FrontierRead(4, (entry(JobState.CANCELLED),)))
    assert bench.hello(4, running=(key(0),)) == [Send(ME, CancelAttempt(4, key(0)))]
    assert bench.done(key(0)) == [Send(ME, Acknowledge(4, (key(0),)))]


def test_a_job_that_was_being_published_is_published_again() -> None:
    bench = Bench()
    bench.poke(MastershipChanged(4, True))
    found = entry(JobState.PUBLISHING, key(0), key(1))
    assert ReadPlan(JOB, DIGEST) in bench.poke(FrontierRead(4, (found,)))
    assert bench.poke(PlanRead(JOB, DIGEST, CHAIN)) == [
        PublishResults(JOB, (Published(key(1), ("1.out",)),))
    ]


def test_a_job_whose_last_task_was_committed_goes_on_to_its_end() -> None:
    bench = Bench()
    bench.poke(MastershipChanged(4, True))
    bench.poke(FrontierRead(4, (entry(JobState.RUNNING, key(0), key(1)),)))
    assert bench.poke(PlanRead(JOB, DIGEST, CHAIN)) == [
        Propose(4, JobEnded(JOB, JobState.PUBLISHING, ""))
    ]


def test_who_loses_mastership_sends_its_clients_away() -> None:
    bench = Bench()
    bench.reign()
    bench.poke(Asked(1, SUBMIT))
    assert bench.poke(MastershipChanged(4, False)) == [Answer(1, NotMaster(7, "", 0))]
    assert bench.poke(PlanRead(JOB, DIGEST, CHAIN)) == []
    assert bench.core.deadline() is None


# --- failures --------------------------------------------------------------------------------


def test_a_task_that_fails_too_often_fails_its_job() -> None:
    bench = Bench()
    bench.reign()
    bench.run(plan([[], [0]], [nano(retries=1)]))
    failed = {"outcome": Outcome.FAILED, "error": "ValueError: no ink", "tail": "last words"}
    effects = bench.done(key(0), **failed)
    assert Send(ME, execute(key(0, n=2), "Nano-0000")) in effects
    assert bench.done(key(0), **failed) == [], "told again, counted once"
    end = JobEnded(JOB, JobState.FAILED, "Nano-0000 failed: ValueError: no ink")
    assert bench.done(key(0, n=2), **failed) == [Propose(3, end)]
    effects = bench.poke_quietly(RecordCommitted(3, end))
    assert effects == [Send(ME, Acknowledge(3, (key(0), key(0, n=2)))), CleanJob(JOB)]
    report = bench.report()
    assert (report.state, report.note) == (JobState.FAILED, end.reason)
    assert [(each.node, each.error, each.tail) for each in report.failures] == [
        ("one", "ValueError: no ink", "last words")
    ] * 2
    assert report.failures[0].log == ".nanoboost/jobs/job/0/3.1.part/log"
    assert report.classes[0].failed == 1


def test_a_failure_that_is_held_until_its_commit_does_not_stop_the_next_run() -> None:
    bench = Bench()
    bench.reign(slots=0)
    bench.poke(MemberUp(OTHER, "two"))
    bench.hello(3, OTHER)
    bench.run(plan([[]], [nano(retries=1)]))
    bench.hello(3, OTHER, slots=0, running=(key(0),))
    bench.done(key(0), who=OTHER, outcome=Outcome.FAILED)
    assert bench.hello(3, OTHER, slots=0, held=(key(0),)) == []
    assert bench.hello(3) == [Send(ME, execute(key(0, n=2), "Nano-0000"))]


def test_a_process_that_dies_is_forgiven_more_often() -> None:
    bench = Bench()
    bench.reign()
    bench.run()
    for n in (1, 2, 3):
        effects = bench.done(key(0, n=n), outcome=Outcome.CRASHED, error="killed by signal 9")
        assert Send(ME, execute(key(0, n=n + 1), "Nano-0000")) in effects
    effects = bench.done(key(0, n=4), outcome=Outcome.CRASHED, error="killed by signal 9")
    assert not [each for each in effects if isinstance(each, Send)]
    assert JobState.FAILED in [
        each.record.state
        for each in effects
        if isinstance(each, Propose) and isinstance(each.record, JobEnded)
    ]


def test_an_unfit_node_is_avoided_and_named() -> None:
    bench = Bench()
    bench.reign()
    bench.run(plan([[]], [nano("Copy")]))
    unfit = {"outcome": Outcome.UNFIT, "error": "needs no-such-tool, which is not installed here"}
    assert bench.done(key(0), **unfit) == [Send(ME, Acknowledge(3, (key(0),)))]
    assert bench.report().note == (
        "no node can run Copy (one: needs no-such-tool, which is not installed here)"
    )
    bench.poke(MemberUp(OTHER, "two"))
    assert bench.hello(3, OTHER) == [Send(OTHER, execute(key(0, n=2), "Copy-0000"))]
    assert bench.report().note == ""


def test_an_unfit_node_gets_another_chance_after_a_minute() -> None:
    bench = Bench()
    bench.reign()
    bench.run(plan([[]]))
    bench.done(key(0), outcome=Outcome.UNFIT, error="needs ffmpeg")
    assert Send(ME, execute(key(0, n=2), "Nano-0000")) in bench.poke(Woke(), after=60.1)


def test_a_task_with_labels_goes_only_where_they_are() -> None:
    bench = Bench()
    bench.reign()
    bench.run(plan([[]], [nano(labels=("gpu",))]))
    assert bench.report().note == "no node can run Nano (one: lacks the label gpu)"
    bench.poke(MemberUp(OTHER, "two"))
    sent = bench.hello(3, OTHER, labels=("gpu", "big"))
    assert sent == [Send(OTHER, execute(key(0), "Nano-0000"))]


def test_a_node_where_everything_crashes_is_set_aside_while_another_works() -> None:
    bench = Bench()
    bench.reign(slots=4)
    bench.poke(MemberUp(OTHER, "two"))
    bench.hello(3, OTHER, slots=1, speed=0.5)
    bench.run(plan([[]] * 9, [nano(retries=9)]))
    for task in range(4):
        bench.done(key(task), outcome=Outcome.CRASHED)
    views = bench.core.agents(bench.now)
    assert views[ME].note == "set aside: everything crashes here"
    assert views[OTHER].note == ""


# --- the NAS ---------------------------------------------------------------------------------


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


# --- clients ---------------------------------------------------------------------------------


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


# --- odd members, long lives ---------------------------------------------------------------------


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
