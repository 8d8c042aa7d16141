"""Announce ``twistd nanoboost``.  Everything real lives in `nanoboost.tap`."""

from twisted.application.service import ServiceMaker

# ServiceMaker keeps the module *name*: `twistd --help` never imports nanoboost.
nanoboost = ServiceMaker(
    "NanoBoost", "nanoboost.tap", "Run one node of a NanoBoost cluster.", "nanoboost"
)
