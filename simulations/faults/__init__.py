"""What can be done to a cluster, as data: `Plan` and all kinds of `Fault`."""

from simulations.faults.base import KINDS, Fault, Plan
from simulations.faults.clients import CancelJob, Disconnect, Submit
from simulations.faults.disks import FailSync, FillDisk, RotDisk, SlowDisk, StallDisk, Wipe
from simulations.faults.knobs import Knob, knobs
from simulations.faults.machines import (
    Clone,
    Drift,
    Join,
    Kill,
    Leave,
    Pause,
    PowerOff,
    Reboot,
    Restart,
    SlowCpu,
    StepClock,
)
from simulations.faults.network import BadWire, Clog, Cut, Deaf, ForeignCertificate
from simulations.faults.shares import FailNas, HangNas, SlowNas, StaleNas
from simulations.faults.tasks import BadHost, Misbehave, Orphan, RepeatDone

__all__ = [
    "KINDS",
    "BadHost",
    "BadWire",
    "CancelJob",
    "Clog",
    "Clone",
    "Cut",
    "Deaf",
    "Disconnect",
    "Drift",
    "FailNas",
    "FailSync",
    "Fault",
    "FillDisk",
    "ForeignCertificate",
    "HangNas",
    "Join",
    "Knob",
    "Kill",
    "Leave",
    "Misbehave",
    "Orphan",
    "Pause",
    "Plan",
    "PowerOff",
    "Reboot",
    "RepeatDone",
    "Restart",
    "RotDisk",
    "SlowCpu",
    "SlowDisk",
    "SlowNas",
    "StaleNas",
    "StallDisk",
    "StepClock",
    "Submit",
    "Wipe",
    "knobs",
]
