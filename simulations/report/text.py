"""A run, and a sweep of runs, as text for a terminal."""

from collections import Counter
from collections.abc import Sequence

from simulations.kernel.journal import Record
from simulations.kernel.world import SECOND
from simulations.report.lanes import lanes
from simulations.scenario import Result

MAIN_EVENTS = ("mastership", "voters", "submitted", "job", "down", "ended_itself", "listening")
LIVENESS = {"L1": "one master that all know", "L2": "membership whole"}


def told(result: Result) -> list[str]:
    """One run: what it was, its picture, its main events, and the verdict."""
    stage = result.stage
    scenario, lab = stage.scenario, stage.lab
    span = result.end / SECOND
    return [
        f"{scenario.name} · seed {result.seed} · {span:.1f} s simulated in {result.cpu_s:.2f} s of "
        f"processor time · {lab.world.events:,} events · trace {result.trace}",
        f"  {scenario.story}",
        f"  config   {lab.model}",
        f"  job      {scenario.plan.graph}, {len(scenario.plan.tasks)} tasks",
        "",
        *lanes(
            lab.model.nodes,
            lab.records.records,
            stage.faults,
            len(scenario.plan.tasks),
            result.end,
        ),
        "",
        *_events(result),
        "",
        *_verdict(result),
    ]


def _events(result: Result) -> list[str]:
    told_records = [
        (record.at, record.node, _sentence(record, result))
        for record in result.stage.lab.records.records
        if record.event in MAIN_EVENTS and _is_news(record)
    ]
    told_faults = [(fault.at, "fault", fault.text) for fault in result.stage.faults]
    told_faults += [
        (fault.until, "fault", f"over: {fault.text}")
        for fault in result.stage.faults
        if fault.until < result.end
    ]
    return [
        f"  {at / SECOND:9.3f}s  {node:<7} {text}"
        for at, node, text in sorted([*told_records, *told_faults], key=lambda each: each[0])
    ]


def _is_news(record: Record) -> bool:
    """Followers repeat what the master says; the loss of mastership is told by nobody else."""
    if record.event == "voters":
        return False
    return record.event != "mastership" or bool(record["is_me"]) or not record["master"]


def _sentence(record: Record, result: Result) -> str:
    if record.event == "mastership":
        term = record["term"]
        return f"master of term {term}" if record["is_me"] else f"term {term}: knows no master"
    if record.event == "job":
        count = result.stage.done_count
        return f"job {record['job']} is {record['state']} ({count} tasks finished in the run)"
    if record.event == "submitted":
        return f"job {record['job']} is committed"
    if record.event == "listening":
        return f"starts, node {record['node']}"
    return f"{record['node']} is down"


def _verdict(result: Result) -> list[str]:
    stage = result.stage
    violation = stage.judge.violation
    broken = violation.code if violation else ""
    lines = [
        f"  checked  {'✗' if each.code == broken else '✓'} {each.code}  {each.claim}"
        for each in stage.judge.checkers
    ]
    lines.append(
        f"  tasks    {stage.done_count} finished, {stage.finished.again} started once more "
        f"because nothing had acknowledged them"
    )
    recovered = " · ".join(
        f"{LIVENESS[code]} after {ns / SECOND:.1f} s" for code, ns in stage.recovered_ns.items()
    )
    lines.append(f"  rest     {recovered or 'nothing was well again'}")
    happened = " · ".join(f"{what} {'✓' if yes else '✗'}" for what, yes in stage.happened.items())
    lines.append(f"  happened {happened}")
    lines.append("")
    if violation is not None:
        lines.append(f"FAILED   {violation}")
    elif stage.complaints:
        lines += [f"FAILED   {each}" for each in stage.complaints]
    else:
        lines.append("PASSED")
    if result.status:
        lines.append(
            f"  replay   python -m simulations.{stage.scenario.name} --seed {result.seed} "
            f"--until {result.end / SECOND + 0.001:.3f} --log"
        )
    return lines


def swept(results: Sequence[tuple[int, str, dict[str, bool]]], cpu_s: float, span_s: float) -> str:
    """A sweep: (seed, "" or what was wrong, what happened) of each run."""
    passed = sum(not wrong for _, wrong, _ in results)
    lines = [
        f"{len(results)} seeds · {passed} passed · {len(results) - passed} failed · "
        f"{len(results) * 60 / max(cpu_s, 0.001):.0f} seeds/min · "
        f"{span_s / max(cpu_s, 0.001):.0f} simulated seconds a second"
    ]
    kinds = Counter(wrong[:2] for _, wrong, _ in results if wrong)
    for kind, count in sorted(kinds.items()):
        seed, text = next((seed, wrong) for seed, wrong, _ in results if wrong[:2] == kind)
        lines.append(f"  {kind}  {count}×, first with seed {seed}\n      {text[:300]}")
    happened = Counter(what for _, _, marks in results for what, yes in marks.items() if yes)
    all_marks = dict.fromkeys(what for _, _, marks in results for what in marks)
    shares = " · ".join(f"{what} {happened[what] * 100 // len(results)}" for what in all_marks)
    lines.append(f"  happened in % of seeds: {shares}")
    return "\n".join(lines)
