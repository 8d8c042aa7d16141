"""The master's core against a world that loses messages, agents and masters."""

from random import Random

import pytest

from nanoboost.ids import AttemptKey, JobId, NodeId
from nanoboost.wire.messages import JobState, Outcome
from tests.master.plans import node, random_plan
from tests.master.world import World

TASKS = 30
JOBS = [JobId(f"job-{number}") for number in range(3)]


def populated(seed: int, loss: float) -> World:
    world = World(seed, loss=loss)
    for number in range(4):
        world.add(node(number), world.rng.randint(1, 4), world.rng.choice((0.2, 0.45, 1.0)))
    durations = Random(f"{seed}/work")
    memory: dict[AttemptKey, float] = {}
    world.work_s = lambda key: memory.setdefault(key, durations.uniform(0.05, 2.0))
    return world


def finish(world: World, jobs: list[JobId]) -> None:
    world.run(lambda: all(world.state(job) is JobState.DONE for job in jobs), 1000.0)
    for job in jobs:
        frontier = world.frontier(job)
        assert frontier.done_count == frontier.tasks
        for task in frontier.done():
            winner = frontier.winner(task)
            assert winner is not None
            for parent in world.executed[AttemptKey(job, task, winner)]:
                assert frontier.winner(parent.task) == parent.attempt, "it has read winners only"


def submit_until_committed(world: World, job: JobId, digest: str) -> None:
    """What a client does: it asks again until it is told."""
    plan = world.plans[digest]

    def again() -> None:
        if world.state(job) is None:
            world.submit(job, plan, digest)
            world.later(1.0, again)

    again()


def submit_all(world: World, tasks: int) -> None:
    for number, job in enumerate(JOBS):
        digest = f"{number}" * 64
        world.plans[digest] = random_plan(world.rng, tasks)
        submit_until_committed(world, job, digest)


@pytest.mark.parametrize("seed", range(3))
def test_in_a_quiet_world_every_task_runs_once(seed: int) -> None:
    world = populated(seed, 0.0)
    world.elect(node(0))
    submit_all(world, TASKS)
    finish(world, JOBS)
    assert len(world.executed) == 3 * TASKS
    world.run(lambda: sorted(world.cleaned) == JOBS, 10.0)
    assert len(world.published) == 3
    world.run(lambda: not any(agent.held for agent in world.agents.values()), 10.0)


@pytest.mark.parametrize("seed", range(14))
def test_jobs_survive_agents_masters_and_lost_messages(seed: int) -> None:
    world = populated(seed, loss=0.05)
    world.nas_fails = 0.2
    world.commit_s = 2.0  # so that children run whose parents are lost with their master
    chaos = Random(f"{seed}/chaos")
    outcomes = (Outcome.CRASHED, Outcome.UNFIT, *[Outcome.DONE] * 30)
    world.outcome = lambda key: chaos.choice(outcomes)
    world.elect(node(0))
    submit_all(world, TASKS)

    def disturb() -> None:
        kind, victim = chaos.random(), node(chaos.randrange(4))
        alive = [each for each in world.agents.values() if each.alive]
        if not world.agents[victim].alive:
            world.restart(victim, noticed=chaos.random() < 0.7)
        elif kind < 0.4 and len(alive) > 1 and victim != world.me:
            world.crash(victim, refused=chaos.random() < 0.5)
        elif kind < 0.7:
            fail_over(world, chaos)
        if world.now < 60.0:
            world.later(chaos.uniform(0.2, 3.0), disturb)

    world.later(1.0, disturb)
    finish(world, JOBS)


def fail_over(world: World, chaos: Random) -> None:
    """The master dies, with its agent or without; somebody alive is next."""
    alive = [each.node for each in world.agents.values() if each.alive and each.node != world.me]
    if not alive:
        return
    if chaos.random() < 0.5:
        world.crash(world.me, refused=True)
    world.master = None
    heir = chaos.choice(alive)

    def elect() -> None:
        if world.master is None and world.agents[heir].alive:
            world.elect(heir)

    def elect_somebody() -> None:
        if world.master is None:
            survivors = [each.node for each in world.agents.values() if each.alive]
            world.elect(chaos.choice(survivors))

    world.later(0.5, elect)
    world.later(5.0, elect_somebody)


@pytest.mark.parametrize("seed", range(6))
def test_a_failover_repeats_nothing_that_runs_or_is_finished(seed: int) -> None:
    """Only masters die, no agent does and no message is lost: then no task runs twice."""
    world = populated(seed, 0.0)
    world.elect(node(0))
    submit_all(world, TASKS)
    for moment in (3.0, 6.0, 6.4, 9.0):
        world.later(moment, lambda: world.elect(NodeId(world.rng.choice(list(world.agents)))))
    finish(world, JOBS)
    tasks = [(key.job, key.task) for key in world.executed]
    assert len(tasks) == len(set(tasks))
