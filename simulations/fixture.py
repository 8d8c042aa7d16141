"""A pytest fixture: does *my* job survive the loss of these machines?

    def test_my_job_survives(nanosim):
        outcome = nanosim(MyGraph(video="a.mkv"), kill("pi3", "pi4").at(0.5))
        assert outcome.finished

**A test with a seed is a test that repeats**: the same seed gives the same run everywhere.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from simulations.whatif.ownjob import Outcome


@pytest.fixture
def nanosim() -> "Callable[..., Outcome]":
    """Plays a `NanoGraph` (or a plan) once: `nanosim(graph, *faults, cluster=..., seed=...)`.

    `cluster` is five Raspberry Pis unless told; `nas_dir` is where the graph's inputs are.
    """
    from simulations.whatif.cluster import Cluster
    from simulations.whatif.ownjob import run

    def play(graph: Any, *faults: Any, **options: Any) -> "Outcome":
        cluster = options.pop("cluster", None) or Cluster.pis(5)
        return run(graph, cluster, faults, **options)

    return play
