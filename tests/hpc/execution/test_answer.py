"""What a redo answers: how many agree, who does not, and why; from real shards of invented numbers."""

from collections.abc import Callable
from pathlib import Path

import pytest

from hpc.execution.choice import EXECUTORS
from hpc.execution.executor import Redo
from hpc.execution.redoing import answer
from hpc.state.runs import state
from jobs.campaign import Campaign
from tests.records import failure, record
from tests.redos import ALL, RUNS, campaign_with_redo, write

Answer = Callable[[], tuple[int, list[str]]]


@pytest.fixture
def campaign(tmp_path: Path) -> Campaign:
    return campaign_with_redo(tmp_path / "campaign")


@pytest.fixture
def answered(campaign: Campaign, capsys: pytest.CaptureFixture[str]) -> Answer:
    """The exit status and the lines of the answer."""

    def call(replaces: bool = False) -> tuple[int, list[str]]:
        found = state(campaign, "c0ffee", ALL, EXECUTORS)
        status = answer(campaign, found, ALL.take(slice(0, 5)), Redo("p=0.5", 2), replaces, "The same command")
        return status, capsys.readouterr().out.splitlines()

    return call


HEAD = "redo 0002 (p=0.5): 5 of 5 runs trained again"


def test_all_agree(campaign: Campaign, answered: Answer) -> None:
    write(campaign, 2, [record(run, 300 + i if i < 4 else 310) for i, run in enumerate(RUNS[:5])], cpu="Another")
    assert answered() == (0, [HEAD, "  5 agree bit by bit"])


def test_another_machine_may_give_other_numbers_of_the_same_law(campaign: Campaign, answered: Answer) -> None:
    new = [record(RUNS[0], 300), *(record(run, 304 - i) for i, run in enumerate(RUNS[1:5]))]
    write(campaign, 2, new, cpu="Another", versions="torch 2")
    law = "  4 agree within what differing machines explain (other cpu, versions)"
    assert answered() == (0, [HEAD, "  1 agrees bit by bit", law])


def test_what_another_machine_does_not_explain_is_named(campaign: Campaign, answered: Answer) -> None:
    new = [record(RUNS[0], 200), *(record(run, 300 + i) for i, run in enumerate(RUNS[1:4], 1)), record(RUNS[4], 310)]
    write(campaign, 2, new, cpu="Another", code_commit="def")
    status, lines = answered()
    assert (status, lines[:3]) == (
        1,
        [HEAD, "  4 agree bit by bit", "  1 differs by more than differing machines explain (other cpu)"],
    )
    assert lines[3].startswith(f"  run {RUNS[0].run_id} {RUNS[0].label}: accuracy {300 / 355!r} (ok) in 0001-00000-0-")
    assert f"; accuracy {200 / 355!r} (ok) in 0002-00000-0-" in lines[3] and lines[3].endswith("; code_commit abc -> def")


def test_runs_that_were_trained_together_are_judged_by_their_law(campaign: Campaign, answered: Answer) -> None:
    write(campaign, 2, [record(run, 303) for run in RUNS[:5]], runs_together=5)
    status, lines = answered()
    assert (status, lines[1:]) == (
        0, ["  1 agrees bit by bit", "  4 agree within what differing machines explain (trained together with other runs)"],
    )  # fmt: skip


def test_what_failed_or_is_missing_keeps_its_record_and_replaces_nothing(campaign: Campaign, answered: Answer) -> None:
    write(campaign, 2, [record(RUNS[1], 301), failure(RUNS[0])])
    status, lines = answered(replaces=True)
    assert (status, lines[0], lines[1]) == (1, HEAD.replace("5 of", "1 of"), "  1 agrees bit by bit")
    assert lines[2] == f"  run {RUNS[0].run_id} {RUNS[0].label}: failed; its earlier record still counts"
    assert lines[3].endswith("gives the answer. Nothing is replaced yet.")
    assert not campaign.replaced(2).exists()


def test_without_an_earlier_record_nothing_is_compared(campaign: Campaign, answered: Answer) -> None:
    write(campaign, 2, [record(run) for run in RUNS[:5]])
    for path in campaign.shard_paths("0001"):
        path.unlink()
    assert answered() == (1, [HEAD, "  5 runs cannot be compared: there is no earlier record any more"])


def test_a_file_that_cannot_be_read_is_no_agreement(campaign: Campaign, answered: Answer) -> None:
    write(campaign, 2, [record(run, 300 + i if i < 4 else 310) for i, run in enumerate(RUNS[:5])])
    (campaign.shards / "0001-00009-0-aaaaaa-p00.h5").write_bytes(b"")
    assert answered() == (1, [HEAD, "  5 agree bit by bit"])
