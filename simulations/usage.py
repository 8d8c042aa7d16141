"""How the commands end: exit statuses, and what wrong usage is answered with.

**Each status says one thing**, so that a script can tell a bug of NanoBoost's (1, 2, 3) from a
check that checked nothing (4) and from a wrong word on the command line (64).
"""

import argparse
import sys
from typing import NoReturn

PASSED, INVARIANT, LIVENESS, NOT_DETERMINISTIC, NEVER_HAPPENED, USAGE = 0, 1, 2, 3, 4, 64


class Parser(argparse.ArgumentParser):
    """Exits with 64, not with argparse's 2."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong, and exit."""
        self.print_usage(sys.stderr)
        self.exit(USAGE, f"{self.prog}: {message}\n")
