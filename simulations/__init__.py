"""A deterministic world for whole nodes: virtual time, simulated sockets, disks, NAS and children.

The same `nanoboost.node.compose` builds the same node; only its `Runtime` is another.  **A run is a
function of its seed**: the same seed gives the same trace on every machine, under any
`PYTHONHASHSEED`.  `python -m simulations` lists the scenarios.
"""
