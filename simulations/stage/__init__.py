"""How a run is set up, played and judged: machines, job, client, faults, marks."""
