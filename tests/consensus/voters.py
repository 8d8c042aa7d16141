"""Clusters in which everybody votes and knows it, and short names for their nodes."""

from nanoboost.ids import NodeId
from tests.consensus.cluster import Cluster, node_id

A, B, C, D, E = (node_id(n) for n in range(5))


def cluster_of(count: int, seed: int = 1) -> Cluster:
    cluster = Cluster(count, seed)
    cluster.become(list(cluster.nodes))
    return cluster


def three(seed: int = 1) -> Cluster:
    return cluster_of(3, seed)


def others(cluster: Cluster, *names: NodeId | None) -> list[NodeId]:
    return [name for name in cluster.nodes if name not in names]
