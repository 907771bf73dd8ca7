"""What runs cost, in CPU seconds, GPU seconds, wall seconds and memory: values with units."""

from dataclasses import dataclass, fields


@dataclass(frozen=True)
class Range:
    """Low and high end of what is expected."""

    low: float
    high: float

    @property
    def middle(self) -> float:
        """The mean of both ends, which plans use."""
        return (self.low + self.high) / 2

    def __add__(self, other: "Range") -> "Range":
        return Range(self.low + other.low, self.high + other.high)

    def scaled(self, factor: float) -> "Range":
        """Both ends times `factor`."""
        return Range(self.low * factor, self.high * factor)

    def at_least(self, floor: float) -> "Range":
        """Both ends, but not below `floor`."""
        return Range(max(self.low, floor), max(self.high, floor))


NOTHING = Range(0, 0)


@dataclass(frozen=True)
class Cost:
    """The cost of one run, or of several runs one after the other.

    cpu_s: CPU seconds of all its threads; gpu_s: seconds of a GPU (0 without one); wall_s: from its start to its end;
    mem_mb: peak resident memory in 10**6 bytes.
    """

    cpu_s: Range
    gpu_s: Range
    wall_s: Range
    mem_mb: Range

    def times(self, n_runs: int, least_gpu_s: float = 0.0) -> "Cost":
        """The cost of `n_runs` such runs by one worker; a GPU takes at least `least_gpu_s` for them."""
        cpu_s, gpu_s, wall_s = (getattr(self, field.name).scaled(n_runs) for field in fields(self)[:3])
        return Cost(cpu_s.at_least(least_gpu_s), gpu_s.at_least(least_gpu_s), wall_s.at_least(least_gpu_s), self.mem_mb)
