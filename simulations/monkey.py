"""Everything at once: a swarm of all faults that the world knows, a random half of them a run.

**Faults end, and then all must be well.**
"""

from collections.abc import Iterator

from simulations.command.cli import main
from simulations.faults import (
    BadHost,
    BadWire,
    Clog,
    Cut,
    Deaf,
    Disconnect,
    Drift,
    FailNas,
    FailSync,
    Fault,
    FillDisk,
    ForeignCertificate,
    HangNas,
    Join,
    Kill,
    Leave,
    Misbehave,
    Orphan,
    Pause,
    PowerOff,
    Reboot,
    RepeatDone,
    Restart,
    SlowCpu,
    SlowDisk,
    SlowNas,
    StaleNas,
    StallDisk,
    StepClock,
    Submit,
)  # fmt: skip
from simulations.hosts.disk import DiskModel
from simulations.kernel.prng import Stream
from simulations.kernel.world import MS, SECOND, US
from simulations.net.network import Wire
from simulations.stage.jobs import film
from simulations.stage.model import Model
from simulations.stage.scenario import Bounds, Scenario

FIRST_NS = 3 * SECOND
LASTS_NS = 15 * SECOND
CHUNKS = 36


def model(draw: Stream) -> Model:
    """Three or five nodes, a better or worse network, faster or slower disks."""
    wire = Wire(
        least_ns=draw.between(100, 500) * US,
        jitter_ns=draw.between(50, 5000) * US,
        loss_permille=draw.choice((0, 0, 10, 50)),
        twice_permille=draw.choice((0, 20)),
    )
    disk = DiskModel(draw.between(1, 5) * MS, draw.between(1, 10) * MS)
    names = tuple(f"n{number}" for number in range(draw.choice((3, 3, 5))))
    return Model(nodes=names, wire=wire, disk=disk, mishaps_permille=draw.choice((0, 20)))


def kinds(
    draw: Stream, at: int, lasts: int, who: str, some: tuple[str, ...], task: int
) -> dict[str, Fault]:
    """One of each kind; what only some of them need is drawn for all, so that none disturbs
    another."""
    little = draw.between(1, 40)
    return {
        "kill": Kill(at, lasts, who),
        "power": PowerOff(at, lasts, who),
        "reboot": Reboot(at, lasts + SECOND, who),
        "restart": Restart(at, lasts, who),
        "pause": Pause(at, lasts, who),
        "cut": Cut(at, lasts, (who,), some),
        "dumb": Cut(at, lasts, (who,), one_way=True),
        "deaf": Deaf(at, lasts, who),
        "clog": Clog(at, lasts, who, one_way=little % 2 == 0),
        "bad wire": BadWire(at, lasts, (who,), jitter_us=little * 1000, loss_permille=little * 5),
        "slow processor": SlowCpu(at, lasts, who, little * 500),
        "slow disk": SlowDisk(at, lasts, who, 20 * MS, 200 * MS),
        "stalled disk": StallDisk(at, lasts, who),
        "failed sync": FailSync(at, lasts, who),
        "full disk": FillDisk(at, lasts, who),
        "stale NAS": StaleNas(at, lasts, little * 100 * MS),
        "failing NAS": FailNas(at, lasts, "input/output error", (who,)),
        "hanging NAS": HangNas(at, lasts, (who,)),
        "orphan": Orphan(at, lasts, who, little * 100 * MS),
        "repeated results": RepeatDone(at, lasts, who, little * 50 * MS),
        "slow NAS": SlowNas(at, lasts, little * 20 * MS, (who,)),
        "bad task": Misbehave(at, 0, task, draw.choice(("raise", "exit", "crash", "mute"))),
        "bad machine": BadHost(at, lasts, who, draw.choice(("raise", "exit", "crash"))),
        "newcomer": Join(at, 0, f"m{at // MS}"),
        "leave": Leave(at, 0, "newcomer"),
        "more work": Submit(at, 0, f"film-{at // MS}", 4),
        "clock": StepClock(at, lasts, who, (little - 20) * 100_000),
        "drift": Drift(at, lasts, who, (little - 20) * 500),
        "no client": Disconnect(at, lasts),
        "foreign certificate": ForeignCertificate(at, lasts, who),
    }


def faults(draw: Stream, model: Model) -> Iterator[Fault]:
    """Half of all kinds (a swarm: what happens rarely is then often alone), in any order."""
    nothing = kinds(draw, 0, 0, "n0", (), 0)
    chosen = [name for name in nothing if draw.chance(500)] or ["kill"]
    at = FIRST_NS
    while at < FIRST_NS + LASTS_NS:
        at += draw.between(200 * MS, 2 * SECOND)
        who = "master" if draw.chance(400) else draw.choice(model.nodes)
        lasts = draw.between(100 * MS, 4 * SECOND)
        some = tuple(name for name in (*model.nodes, "client") if draw.chance(600))
        yield kinds(draw, at, lasts, who, some, draw.below(CHUNKS))[draw.choice(chosen)]


NO_MASTER_NS = 7 * SECOND
"""A connection that is cut off in its greeting is given up after `HELLO_S`, 5 s; then comes an
election."""
SCENARIO = Scenario(
    "monkey",
    "A swarm of everything for 15 s: a random half of all kinds of faults, in any order.",
    film(CHUNKS),
    faults,
    model,
    marks=("a new master", "progress during a fault", "a task started again"),
    bounds=Bounds(election_ns=NO_MASTER_NS),
)

if __name__ == "__main__":
    main(SCENARIO)
