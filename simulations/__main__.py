"""`python -m simulations`: which scenarios there are."""

import importlib

SCENARIOS = ("partition", "asymmetric", "failover", "blackout", "rolling", "monkey")


def list_scenarios() -> None:
    """Print them."""
    print("Scenarios; each takes --seed, --seeds, --help:\n")
    for name in SCENARIOS:
        scenario = importlib.import_module(f"simulations.{name}").SCENARIO
        print(f"  python -m simulations.{name:<12} {scenario.story}")


if __name__ == "__main__":
    list_scenarios()
