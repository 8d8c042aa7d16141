"""Simulated machines: what outlives a node's process (disk, clock, kernel) and what does not."""
