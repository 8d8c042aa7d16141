"""The real world: what `nanoboost.runtime.Runtime` is made of outside the simulation.

Here, and nowhere else below the command line, a node's files, threads and clocks are real.
"""
