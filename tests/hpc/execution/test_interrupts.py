"""Ctrl-C is not lost, wherever it comes."""

import signal
import sys
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest

from hpc.execution import interrupts
from hpc.execution.interrupts import end_on_signals, raise_if_interrupted
from hpc.execution.local import run_locally
from jobs.campaign import Campaign
from noisy.spec import Execution


@pytest.fixture(autouse=True)
def handlers(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Those of this process are back afterwards."""
    before = {number: signal.signal(number, signal.SIG_DFL) for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM)}
    monkeypatch.setattr(interrupts, "_has_come", False)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def lose(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Send a signal that comes in the callback of a weak reference: Python drops what its handler raises."""
    dropped = []
    monkeypatch.setattr(sys, "unraisablehook", lambda what: dropped.append(what.exc_type))

    class Thing:
        pass

    thing = Thing()
    _reference = weakref.ref(thing, lambda _: signal.raise_signal(number))
    del thing
    assert dropped == [KeyboardInterrupt]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP, signal.SIGTERM])
def test_a_signal_raises_once_and_again_only_where_it_is_asked_for(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    end_on_signals()
    raise_if_interrupted()
    lose(number, monkeypatch)
    signal.raise_signal(number)  # the end is not disturbed
    with pytest.raises(KeyboardInterrupt):
        raise_if_interrupted()
    end_on_signals()
    raise_if_interrupted()
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(number)


def test_what_nohup_ignores_is_ignored() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    end_on_signals()
    signal.raise_signal(signal.SIGHUP)
    raise_if_interrupted()


def test_a_local_campaign_ends_after_an_interrupt_that_was_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "python"  # it ends when its standard input ends, as jobs.pool does
    program.write_text("#!/bin/sh\nexec cat\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    (tmp_path / "submissions/0001/logs").mkdir(parents=True)
    looks = []

    def observe() -> None:
        looks.append(1)
        if len(looks) == 2:
            lose(signal.SIGINT, monkeypatch)

    end_on_signals()
    with pytest.raises(KeyboardInterrupt):
        run_locally(Campaign(tmp_path), 1, 1, Execution(), observe)
    assert len(looks) == 2
