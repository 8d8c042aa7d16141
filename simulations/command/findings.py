"""What was found, as a file: the scenario, the seed and the plan that fail.

**A plan survives changes of the code better than a seed does**, so a failing plan, shrunk, becomes
a file of `tests/simulations/regressions`, and is played by the tests for ever.
"""

import json
from pathlib import Path

from attrs import frozen

from simulations.faults import Plan


@frozen
class Finding:
    """One failing run."""

    scenario: str
    seed: int
    found: str
    """What was wrong: `F2 nothing finished is lost ...`."""
    plan: Plan

    def save(self, path: Path) -> None:
        """Write it where the tests, or `--plan`, find it."""
        path.parent.mkdir(parents=True, exist_ok=True)
        head = {"scenario": self.scenario, "seed": self.seed, "found": self.found}
        text = json.dumps(head, indent=1, ensure_ascii=False)
        path.write_text(f'{text[:-2]},\n "plan": {self.plan.to_json().rstrip()}\n}}\n')

    @classmethod
    def load(cls, path: Path) -> "Finding":
        """What was saved; a file with nothing but a plan will do.  Raises `ValueError`."""
        data = json.loads(path.read_text())
        if isinstance(data, list):
            return cls("", 0, "", Plan.from_json(json.dumps(data)))
        if not isinstance(data, dict) or not {"scenario", "seed", "found", "plan"} <= set(data):
            raise ValueError("a finding has `scenario`, `seed`, `found` and `plan`")
        plan = Plan.from_json(json.dumps(data["plan"]))
        return cls(str(data["scenario"]), int(data["seed"]), str(data["found"]), plan)
