"""What an operator asks of a cluster that runs: to take over lost work, and what it has counted
(tags 53 to 59).

**`request` is the client's own number for its question, and a repeat is harmless.**
"""

from attrs import frozen

from nanoboost.ids import JobId, NodeId
from nanoboost.wire.codec import message


@message(53)
class Salvage:
    """This is what a side of the cluster that was lost, and is fenced off, had finished of a job:
    take what counts here too.  `term` is the last that the lost side was in; the tasks below
    `first` have been dealt with.  A repeat is harmless."""

    request: int
    job: JobId
    term: int
    frontier: bytes
    first: int


@message(54)
class Salvaged:
    """So many tasks of the job were `taken` just now, and that is committed.  `next` is where to go
    on asking; the number of the job's tasks when all have been looked at."""

    request: int
    job: JobId
    taken: int
    next: int


@message(55)
class GetCounters:
    """To the node itself: what has its consensus counted, and how does it stand?"""

    request: int


@frozen
class Measure:
    """One number by its name (`commit_latency.total_s`, `peers.NODE.lag`)."""

    name: str
    value: float


@message(56)
class CountersReport:
    """The answer to `GetCounters`: all numbers, in a fixed order."""

    request: int
    node: NodeId
    measures: tuple[Measure, ...]


OPERATING = (Salvage, Salvaged, GetCounters, CountersReport)
