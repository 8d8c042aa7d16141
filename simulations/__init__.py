"""A deterministic world for whole nodes: virtual time, simulated sockets, disks, NAS and children.

The same `nanoboost.node.compose` builds the same node; only its `Runtime` is another.  **A run is a
function of its seed**: the same seed gives the same trace on every machine, under any
`PYTHONHASHSEED`.  `python -m simulations` lists the scenarios.

For one's own job: `run(graph, Cluster.pis(5), [kill("pi3").at(0.5)], seed=7).finished`.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from simulations.whatif.cluster import Cluster
    from simulations.whatif.ownjob import Death, Outcome, kill, run

__all__ = ["Cluster", "Death", "Outcome", "kill", "run"]


def __getattr__(name: str) -> Any:
    """The few names for users, when they are asked for: the world is heavy, its parts are not."""
    if name == "Cluster":
        from simulations.whatif.cluster import Cluster

        return Cluster
    if name in __all__:
        from simulations.whatif import ownjob

        return getattr(ownjob, name)
    raise AttributeError(name)
