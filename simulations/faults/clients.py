"""What the people do who use the cluster.

**A job does not depend on the terminal that it came from.**
"""

from typing import TYPE_CHECKING

from attrs import frozen

from nanoboost.ids import JobId
from simulations.faults.base import Fault, kind
from simulations.stage.jobs import film

if TYPE_CHECKING:
    from simulations.stage.lab import Lab


@kind
@frozen
class Submit(Fault):
    """One more job: a film of so many chunks, of so many milliseconds of work each."""

    job: str
    chunks: int
    chunk_ms: int = 1000

    def apply(self, lab: "Lab") -> None:
        """Submit it."""
        lab.submit(film(self.chunks, self.chunk_ms / 1000, self.job), JobId(self.job))
        lab.lasting(f"submit {self.job}", self.lasts, lambda: None)


@kind
@frozen
class Disconnect(Fault):
    """The command that follows the job is killed; it is typed again when this is over."""

    def apply(self, lab: "Lab") -> None:
        """Kill it."""
        clients = list(lab.clients)
        for client in clients:
            client.vanish()

        def again() -> None:
            for client in clients:
                client.again()

        lab.lasting("the client is gone", self.lasts, again)


@kind
@frozen
class CancelJob(Fault):
    """Somebody cancels a job."""

    job: str

    def apply(self, lab: "Lab") -> None:
        """Ask for it."""
        for client in lab.clients:
            if client.job == self.job:
                client.cancel()
        lab.lasting(f"cancel {self.job}", self.lasts, lambda: None)
