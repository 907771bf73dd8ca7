"""Costs of runs: CPU seconds, GPU seconds, wall seconds and memory."""

from dataclasses import dataclass, fields, replace


@dataclass(frozen=True)
class Range:
    """A range of expected values: 1 of 20 values is expected below `low`, and 1 of 20 above `high`.

    mean: the expected value, if it is not halfway between the two ends.
    """

    low: float
    high: float
    mean: float | None = None

    @property
    def middle(self) -> float:
        """The expected value, which plans use."""
        return (self.low + self.high) / 2 if self.mean is None else self.mean

    def __add__(self, other: "Range") -> "Range":
        """The sum, end by end, because a common cause, such as a slow machine, makes all runs slow."""
        mean = None if self.mean is None and other.mean is None else self.middle + other.middle
        return Range(self.low + other.low, self.high + other.high, mean)

    def scaled(self, factor: float) -> "Range":
        """All values times `factor`."""
        return Range(self.low * factor, self.high * factor, None if self.mean is None else self.mean * factor)

    def at_least(self, floor: float) -> "Range":
        """The same range with no value below `floor`."""
        mean = None if self.mean is None else max(self.mean, floor)
        return Range(max(self.low, floor), max(self.high, floor), mean)


NOTHING = Range(0, 0)


@dataclass(frozen=True)
class Cost:
    """The cost of one run, or of several runs one after the other.

    cpu_s: CPU seconds of all threads; gpu_s: GPU seconds (0 without a GPU); wall_s: seconds from start to end; mem_mb: peak
    resident memory, in 10**6 bytes, of a worker that executes only such runs; shared_mb: the part of it that forked workers
    share.
    """

    cpu_s: Range
    gpu_s: Range
    wall_s: Range
    mem_mb: Range
    shared_mb: float = 0.0

    def times(self, n_runs: int, least_gpu_s: float = 0.0) -> "Cost":
        """The cost of `n_runs` such runs, executed by one worker; at least `least_gpu_s` seconds of a GPU."""
        cpu_s, gpu_s, wall_s = (getattr(self, field.name).scaled(n_runs) for field in fields(self)[:3])
        floor = least_gpu_s
        return replace(self, cpu_s=cpu_s.at_least(floor), gpu_s=gpu_s.at_least(floor), wall_s=wall_s.at_least(floor))
