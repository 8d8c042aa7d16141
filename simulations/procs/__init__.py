"""Simulated child processes and the NAS that they share."""
