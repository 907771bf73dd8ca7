"""What was asked for beside what was used: shares, against sums written out."""

from dataclasses import asdict

import pytest

from hpc.execution.afterwards import lines_of
from hpc.planning.efficiency import Span, Used, efficiency

HOUR = 3600.0


def span(job: str, began_h: float, ended_h: float, cores: int = 1) -> Span:
    return Span(job, 0.0, began_h * HOUR, ended_h * HOUR, cores, mem_mb=1000, time_limit_s=HOUR)


def test_shares_are_those_of_workers_that_did_something() -> None:
    spans = [span("1_0", 0.1, 1.0), span("1_1", 0.2, 0.8), span("1_2", 0.9, 0.9001), span("1_3", 0, 0)]
    used = {"1_0": Used(0.8 * HOUR, 0.85 * HOUR, 800), "1_1": Used(0.5 * HOUR, 0.55 * HOUR, 600)}
    found = efficiency(spans, used)
    assert found
    assert found.cpu == pytest.approx(1.3 / 1.5, rel=1e-3)
    assert found.memory == pytest.approx((0.9 * 800 + 0.6 * 600) / (1.5 * 1000))
    assert found.time == pytest.approx(1.5 / 2)
    assert found.overhead == pytest.approx(1 - 1.4 / 1.5, abs=1e-3)
    assert (found.n_jobs, found.n_idle, found.wait_s) == (3, 1, pytest.approx(0.1 * HOUR))
    assert found.advice == "nothing to change"


@pytest.mark.parametrize(
    ("cpu_h", "peak_mb", "ended_h", "advice"),
    [(0.5, 900, 1.0, "CPU"), (0.95, 500, 1.0, "memory"), (0.45, 900, 0.5, "time"), (0.95, 900, 1.0, "nothing")],
)
def test_one_line_of_advice_for_the_largest_waste(cpu_h: float, peak_mb: float, ended_h: float, advice: str) -> None:
    found = efficiency([span("1_0", 0.0, ended_h)], {"1_0": Used(cpu_h * HOUR, cpu_h * HOUR, peak_mb)})
    assert found and found.advice.startswith(advice)


def test_cores_that_were_idle_count() -> None:
    found = efficiency([span("1", 0.0, 1.0, cores=4)], {"1": Used(HOUR, HOUR, 900)})
    assert found and found.cpu == pytest.approx(0.25)


def test_without_limits_only_the_processor_is_judged_and_without_jobs_nothing() -> None:
    found = efficiency([Span("local-0001", 0, 0, 100, 2)], {"local-0001": Used(190, 195, 500)})
    assert found and (found.memory, found.time, found.cpu) == (None, None, 0.95)
    assert efficiency([], {}) is None
    assert efficiency([span("1", 0, 1)], {"2": Used(1, 1, 1)}) is None


def test_the_figures_of_a_campaign_of_seconds_are_not_shown() -> None:
    """Most of its time is the start of Python, so they would advise to change what is well."""

    def said(core_s: float) -> list[str]:
        found = efficiency([Span("local-0001", 0, 0, core_s / 2, cores=2)], {"local-0001": Used(core_s / 4, core_s / 4, 300)})
        assert found and found.core_s == core_s
        return list(lines_of(asdict(found) | {"advice": found.advice}))

    assert said(599) == []
    assert said(601)[-1].startswith("  next time: CPU")
