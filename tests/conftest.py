"""Settings that hold for all tests.

Examples of property tests are the same in every run, so that a change and not luck decides whether
CI is green; `HYPOTHESIS_PROFILE=search` looks for new ones, more of them.
"""

import os

from hypothesis import HealthCheck, settings

settings.register_profile(
    "steady", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("search", deadline=None, max_examples=2000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "steady"))
