"""What a node and its NAS process say to each other (tags 160-179).

**One question at a time; each answer bears the number of its question.**  What does not fit in a
frame (a plan) comes in pieces.
"""

from attrs import frozen

from nanoboost.ids import AttemptKey, JobId
from nanoboost.wire.codec import Catalog, message

PIECE_BYTES = 256 << 10


@message(160)
class Inspect:
    """Is this the cluster's NAS, and can it be written?"""

    request: int


@message(161)
class Inspected:
    """`fit` is "" or one line that says why the NAS cannot be used."""

    request: int
    fit: str


@message(162)
class FetchPlan:
    """Read the plan with this SHA-256."""

    request: int
    digest: str


@message(163)
class PlanPiece:
    """A piece of the plan, in order; `more` tells whether another follows."""

    request: int
    data: bytes
    more: bool


@frozen
class Published:
    """The files of one winning attempt that go to the user's names: `PlanOutput.paths`."""

    key: AttemptKey
    paths: tuple[str, ...]


@message(164)
class Publish:
    """Bring results to the user's names; a repeat changes nothing."""

    request: int
    results: tuple[Published, ...]


@message(165)
class Clean:
    """Remove what the job's attempts have written but their logs and manifests."""

    request: int
    job: JobId


@message(166)
class Finished:
    """`Publish` or `Clean` is done, or any request has failed; `error` is "" or one line."""

    request: int
    error: str


@message(167)
class Working:
    """The request goes on, and the NAS answers: said about once a second."""

    request: int


NAS = Catalog((Inspect, Inspected, FetchPlan, PlanPiece, Publish, Clean, Finished, Working))
NAS_MODULE = "nanoboost.nas.nashelper"
"""Run with `-m` and the arguments NAS_DIR, CLUSTER."""
