"""Virtual time, random numbers and the trace: what everything else in the simulated world uses."""
