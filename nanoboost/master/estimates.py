"""What a task will take, and how fast each machine is: learned from what attempts have taken.

**Work is measured in processor seconds of the reference machine, on a logarithmic scale**; what a
task waits for (the NAS, a nap) is kept apart and not scaled by speed, so that a machine is not held
to be slow because the NAS was.  A user's size is trusted for the differences inside a class; its
scale is learned.  The numbers are those of a small clipped Kalman filter.
"""

import math
from collections.abc import Iterable

from attrs import define, field

from nanoboost.ids import NodeId
from nanoboost.master.scheduler import Pace

UNKNOWN_S = 1.0
"""The work of a task of a class of which nothing is known, if its size is average."""
LEAST_S = 0.001
_STEADY = 8
_WEIGHT = 0.12
_SPEED_VARIANCE_START = 0.16
_SPEED_DRIFT = 1e-4
_NOISE = 0.01
_CLIP = 2.0
_RESIDUAL_SAMPLES = 5

ClassKey = tuple[str, str]
"""A graph and a class in it."""


@define(eq=False)
class _ClassModel:
    """One Nano class: mean and variance of ln(work / size), and the mean of the waiting."""

    samples: int = 0
    log_work: float = 0.0
    variance: float = 0.0
    wait_s: float = 0.0
    mean_size: float = 1.0
    nodes: dict[NodeId, None] = field(factory=dict)

    @property
    def average_s(self) -> float:
        return math.exp(self.log_work) if self.samples else UNKNOWN_S

    def learn(self, log_work: float, wait_s: float) -> None:
        self.samples += 1
        weight = 1 / self.samples if self.samples <= _STEADY else _WEIGHT
        gap = log_work - self.log_work
        self.log_work += weight * gap
        self.variance = (1 - weight) * (self.variance + weight * gap * gap)
        self.wait_s += weight * (wait_s - self.wait_s)


@define(eq=False)
class _SpeedModel:
    """One machine: ln(speed) and how sure that is; `start` is what its benchmark said."""

    start: float
    log_speed: float
    variance: float = _SPEED_VARIANCE_START


@define(eq=False)
class _Residual:
    """One class on one machine: how much longer it takes there than speed alone explains."""

    samples: int = 0
    mean: float = 0.0


class Estimates:
    """Knows about classes and machines; nothing in it is ever wrong enough to be asserted."""

    def __init__(self) -> None:
        self._classes: dict[ClassKey, _ClassModel] = {}
        self._speeds: dict[NodeId, _SpeedModel] = {}
        self._residuals: dict[tuple[ClassKey, NodeId], _Residual] = {}

    # --- asking ----------------------------------------------------------------------------------

    def knows(self, cls: ClassKey) -> bool:
        """Whether a task of the class has ever ended here."""
        return cls in self._classes and self._classes[cls].samples > 0

    def work_s(self, cls: ClassKey, size: float) -> float:
        """The processor seconds of such a task on the reference machine."""
        model = self._classes.get(cls)
        if model is None:
            return UNKNOWN_S
        relative = size / model.mean_size if size > 0 else 1.0
        return model.average_s * relative

    def pace(self, cls: ClassKey) -> Pace:
        """The same for all sizes at once."""
        model = self._classes.get(cls) or _ClassModel()
        average_s, wait_s = model.average_s, model.wait_s
        return Pace(wait_s + average_s, wait_s, average_s / model.mean_size)

    def wait_s(self, cls: ClassKey) -> float:
        """What such a task waits, wherever it runs."""
        model = self._classes.get(cls)
        return model.wait_s if model is not None else 0.0

    def factor(self, cls: ClassKey, node: NodeId) -> float:
        """By what to multiply the work of such a task to get its seconds on `node`."""
        log = -self._log_speed(node)
        residual = self._residuals.get((cls, node))
        if residual is not None and residual.samples >= _RESIDUAL_SAMPLES:
            log += residual.mean * residual.samples / (residual.samples + _RESIDUAL_SAMPLES)
        return math.exp(log)

    def speed(self, node: NodeId) -> float:
        """How fast the machine is, the reference machine being 1.0."""
        return math.exp(self._log_speed(node))

    # --- learning --------------------------------------------------------------------------------

    def expect(self, cls: ClassKey, sizes: Iterable[float]) -> None:
        """Tasks of these sizes will come: their mean is what "average" means from now on."""
        known = [size for size in sizes if size > 0]
        model = self._classes.setdefault(cls, _ClassModel())
        mean = math.fsum(known) / len(known) if known else 1.0
        if model.samples:  # the work of an average task changes with what is average
            model.log_work += math.log(mean / model.mean_size)
        model.mean_size = mean

    def meet(self, node: NodeId, speed: float) -> None:
        """The machine's benchmark says `speed`; what was learned of it stays, unless the benchmark
        says something new."""
        model = self._speeds.get(node)
        if model is None or model.start != speed:
            self._speeds[node] = _SpeedModel(speed, math.log(max(speed, LEAST_S)))

    def learn(self, cls: ClassKey, size: float, node: NodeId, wall_s: float, cpu_s: float) -> float:
        """An attempt has taken so much; return its work in seconds of the reference machine."""
        model = self._classes.setdefault(cls, _ClassModel())
        busy = min(max(cpu_s, LEAST_S), max(wall_s, LEAST_S))
        relative = size / model.mean_size if size > 0 else 1.0
        log_busy = math.log(busy)
        work = log_busy + self._log_speed(node)
        if busy > 10 * LEAST_S:
            self._correct(cls, model, node, log_busy - math.log(relative))
        model.learn(work - math.log(relative), max(0.0, wall_s - busy))
        model.nodes[node] = None
        return math.exp(work)

    def _correct(self, cls: ClassKey, model: _ClassModel, node: NodeId, log_busy: float) -> None:
        """What the attempt says about its machine."""
        speed = self._speeds.get(node)
        if speed is None or model.samples < 3 or len(model.nodes) < 2:
            return
        residual = self._residuals.setdefault((cls, node), _Residual())
        surprise = log_busy - (model.log_work - speed.log_speed)
        residual.samples += 1
        weight = max(1 / residual.samples, _WEIGHT)
        residual.mean += weight * (surprise - residual.mean)
        noise = model.variance + _NOISE
        speed.variance += _SPEED_DRIFT
        spread = _CLIP * math.sqrt(speed.variance + noise)
        gain = speed.variance / (speed.variance + noise)
        speed.log_speed += gain * min(max(-surprise, -spread), spread)
        speed.variance *= 1 - gain
        self._anchor()

    def _anchor(self) -> None:
        """Only differences between machines can be learned: keep their mean where it started."""
        models = self._speeds.values()
        drift = math.fsum(
            model.log_speed - math.log(max(model.start, LEAST_S)) for model in models
        ) / len(models)
        for model in models:
            model.log_speed -= drift

    def _log_speed(self, node: NodeId) -> float:
        model = self._speeds.get(node)
        return model.log_speed if model is not None else 0.0
