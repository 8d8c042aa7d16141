"""A run, and a sweep of runs, as text for a terminal."""

from simulations.checkers.settled import CLAIMS
from simulations.kernel.journal import Record
from simulations.kernel.world import SECOND
from simulations.report.lanes import lanes
from simulations.stage.scenario import Result

MAIN_EVENTS = ("mastership", "voters", "submitted", "job", "down", "ended_itself", "listening")


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
        f"  job      {scenario.job.graph}, {len(scenario.job.tasks)} tasks · plan of "
        f"{len(result.plan)} faults",
        "",
        *lanes(
            lab.model.nodes,
            lab.records.records,
            stage.lab.deeds,
            len(scenario.job.tasks),
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
    told_faults = [(fault.at, "fault", fault.text) for fault in result.stage.lab.deeds]
    told_faults += [
        (fault.until, "fault", f"over: {fault.text}")
        for fault in result.stage.lab.deeds
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
    bounds = stage.scenario.bounds
    liveness = [
        f"{CLAIMS[code]} {ns / SECOND:.1f} s (≤ {stage.bounds_ns[code] / SECOND:.0f} s)"
        for code, ns in stage.recovered_ns.items()
    ]
    lines.append(
        f"  liveness after the heal: {' · '.join(liveness) or 'nothing was well again'}; "
        f"a majority in touch without a master: at most "
        f"{stage.majority.longest_ns / SECOND:.1f} s (≤ {bounds.election_ns / SECOND:g} s)"
    )
    if stage.happened:
        marks = (f"{what} {'✓' if yes else '✗'}" for what, yes in stage.happened.items())
        lines.append(f"  happened {' · '.join(marks)}")
    lines.append("")
    if violation is not None:
        lines.append(f"FAILED   {violation}")
    elif stage.complaints:
        lines += [f"FAILED   {each}" for each in stage.complaints]
    else:
        lines.append("PASSED")
    return lines


def prose_of(result: Result, nodes: str) -> list[str]:
    """The log of some nodes (`n0,n1`; "" is all), line by line, with time and node."""
    wanted = tuple(name.strip() for name in nodes.split(",") if name.strip())
    return [
        entry
        for entry in result.stage.lab.records.prose or ()
        if not wanted or entry.split(maxsplit=2)[1] in wanted
    ]
