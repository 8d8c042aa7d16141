"""What the command line of a scenario does: one run, a sweep of many, a failing plan shrunk."""
