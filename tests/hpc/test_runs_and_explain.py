"""`noisy runs` and `noisy explain`: what is known of runs, and why some have no result."""

import csv
import io
import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hpc.console import Refused
from hpc.execution.evidence import place_of, why
from hpc.runs import table
from jobs.campaign import Campaign
from jobs.manifest import read_manifest
from jobs.shard import ShardWriter, read_shard
from tests import commands
from tests.hpc.state import test_runs as cluster
from tests.programs import programs, sacct, squeue
from tests.records import ATTRIBUTES, failure, record
from tests.specs import runs, spec

IDS = cluster.IDS
at_cluster = cluster.campaign  # a fixture: eight runs in four tasks of job 17


def reasons(campaign: Campaign, folder: Path, queue: str = "", accounts: str = "exit 1") -> list[str]:
    seen = cluster.found(campaign, folder, queue, accounts)
    return why(seen, np.arange(len(seen.runs)), now_s=2e9)


def test_why_runs_wait_or_run(at_cluster: Campaign, tmp_path: Path) -> None:
    cluster.begin(at_cluster, 0, [record(cluster.RUNS[0])], at_hand=IDS[1])
    (path,) = at_cluster.shard_paths()
    os.utime(path, (1.0, 2e9 - 300))
    said = reasons(at_cluster, tmp_path, "0 RUNNING, 1 PENDING, 2 PENDING, 3 PENDING")
    assert said[0] == ""
    assert said[1].startswith("running on node1 since 2033-05-") and said[1].endswith(" (5 min)")
    assert said[2:] == ["waiting: None: its turn has not come"] * 6  # what the queue says, and what it means


def test_why_runs_failed(at_cluster: Campaign, tmp_path: Path) -> None:
    once, thrice, killed, behind = range(4)
    cluster.begin(at_cluster, 0, [failure(cluster.RUNS[once], "ValueError: no\nmore"), failure(cluster.RUNS[thrice])])
    for attempt in (1, 2):
        cluster.begin(at_cluster, 0, [failure(cluster.RUNS[thrice], f"attempt {attempt}")], attempt=attempt)
    cluster.begin(at_cluster, 1, [], at_hand=IDS[killed])
    said = reasons(at_cluster, tmp_path, "2 PENDING, 3 PENDING", sacct("17_0|COMPLETED|0:0|n1", "17_1|OUT_OF_MEMORY|0:125|n7"))
    assert said[once] == "failed once: ValueError: no"
    assert said[thrice] == "failed 3 times and is left out: attempt 2"
    assert said[killed] == "failed once: OUT_OF_MEMORY on n7 (asked for 1000 MB, 10 min)"
    assert said[behind] == "its worker ended before this run was trained"


def test_why_runs_are_unknown_or_were_never_submitted(at_cluster: Campaign, tmp_path: Path) -> None:
    with programs(tmp_path / "bin", squeue="exit 1", sacct="exit 1"):
        seen = cluster.look(at_cluster)
    assert set(why(seen, np.arange(8), 0)) == {seen.unreachable}
    (at_cluster.submission(1) / "submission.json").unlink()
    (at_cluster.submission(1) / "tasks.jsonl").unlink()
    at_cluster.submission(1).rename(tmp_path / "away")
    assert set(reasons(at_cluster, tmp_path)) == {"not submitted"}


@pytest.fixture(scope="module")
def everything(finished: Campaign) -> list[dict[str, str]]:
    shown = commands.call("hpc.runs", finished.folder, "--csv")
    assert shown.returncode == 0, shown.stderr
    return list(csv.DictReader(io.StringIO(shown.stdout)))


@pytest.mark.slow
def test_the_table_has_every_run_and_the_numbers_of_the_report(
    finished: Campaign, everything: list[dict[str, str]], tmp_path: Path
) -> None:
    ids = read_manifest(finished.manifest).runs.ids()
    assert [row["run_id"] for row in everything] == ids and len(ids) == 12
    assert [row["state"] for row in everything].count("done") == 8
    assert {row["why"] for row in everything if row["state"] == "missing"} == {"not submitted"}
    assert commands.call("analysis.report", finished.folder, "--to", tmp_path, "--no-figures").returncode == 0
    report = pd.read_csv(tmp_path / "results_per_run.csv", dtype=str, keep_default_na=False)
    done = pd.DataFrame([row for row in everything if row["state"] == "done"])
    assert len(report) == 8
    assert report.equals(done[list(report.columns)])


@pytest.mark.slow
def test_runs_are_chosen_sorted_and_counted(finished: Campaign, everything: list[dict[str, str]]) -> None:
    shown = commands.call(
        "hpc.runs", "state=done", finished.folder, "--by", "test_accuracy", "p=0.5", "--columns", "run_id,why"
    )
    count, header, *rows = shown.stdout.splitlines()
    assert count == f"{finished.folder}: 4 of 12 runs: 4 done"
    assert header.split() == ["run_id", "why"]
    fitting = [row for row in everything if row["state"] == "done" and row["p"] == "0.5"]
    assert rows == [row["run_id"] for row in sorted(fitting, key=lambda row: float(row["test_accuracy"]))]
    shown = commands.call("hpc.runs", finished.folder, "--by", "test_accuracy", "--json")
    values = [run["test_accuracy"] for run in json.loads(shown.stdout)]
    assert values[8:] == [None] * 4 and values[:8] == sorted(values[:8])


@pytest.mark.slow
def test_a_bad_question_gets_one_answer(finished: Campaign) -> None:
    shown = commands.call("hpc.runs", finished.folder, "p=x", "stat=ok", "--columns", "run_id,p_val", "--by", "accuracy")
    problems = ["'p=x': not a number: 'x'", "'stat=ok': no column 'stat' (meant: state?)", "--columns: no column 'p_val'"]
    assert (shown.returncode, shown.stdout) == (2, "")
    first, *lines = shown.stderr.splitlines()
    assert first == "error: 4 problems"
    assert all(line.startswith(f"  {problem}") for line, problem in zip(lines, [*problems, "--by: no column"], strict=True))
    shown = commands.call("hpc.runs", finished.folder, "p=0.7")
    assert (shown.returncode, shown.stdout) == (2, "")
    assert shown.stderr == "error: 1 problem\n  'p=0.7': no run has p=0.7; allowed: 0.0, 0.5\n"
    shown = commands.call("hpc.runs", finished.folder, "p=0.5", "status=chance,diverged")
    assert (shown.returncode, shown.stdout) == (1, "")
    assert shown.stderr.startswith(
        "error: no run has p=0.5 status=chance,diverged; the values that there are:\n  p: 0.0, 0.5\n"
    )


@pytest.mark.slow
def test_commands_answer_the_same_filter(finished: Campaign, tmp_path: Path) -> None:
    for module, *options in (("hpc.status",), ("hpc.logs",), ("hpc.cancel", "--yes"), ("analysis.report", "--to", tmp_path)):
        for given in (["p=9"], ["--filter", "p=9"]):
            shown = commands.call(module, finished.folder, *given, *options)
            assert (shown.returncode, shown.stdout) == (2, ""), module
            assert shown.stderr == "error: 1 problem\n  'p=9': no run has p=9; allowed: 0.0, 0.5\n"
        shown = commands.call(module, finished.folder, "epoch=9", *options)
        assert (shown.returncode, shown.stdout) == (2, ""), module
        assert "'epoch=9': no column 'epoch' (meant: epochs?)" in shown.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_part_of_a_campaign_is_counted_and_reported(finished: Campaign, tmp_path: Path) -> None:
    shown = commands.call("hpc.status", finished.folder, "repeat>=1", "--json")
    part = json.loads(shown.stdout)
    assert [part[name] for name in ("runs", "of_runs", "done", "missing")] == [8, 12, 4, 4]
    reported = commands.call("analysis.report", finished.folder, "activation=tanh", "--to", tmp_path, "--no-figures")
    assert reported.returncode == 0
    assert "note: this is a part of the campaign; records of runs that the filter leaves out: 4" in reported.stdout
    whole = tmp_path / "whole"
    assert commands.call("analysis.report", finished.folder, "--to", whole, "--no-figures").returncode == 0
    for name in ("results_per_run.csv", "results_summary.csv"):
        expected = pd.read_csv(whole / name).query("activation == 'tanh'").reset_index(drop=True)
        assert len(expected) > 0
        pd.testing.assert_frame_equal(pd.read_csv(tmp_path / name), expected)
    refused = commands.call("analysis.report", finished.folder, "activation=tanh", "--to", whole, "--no-figures")
    assert refused.returncode == 1
    assert "4 of its 8 runs do not fit the filter; nothing was written" in refused.stderr
    assert len(pd.read_csv(whole / "results_per_run.csv")) == 8
    before = sorted(finished.folder.iterdir())
    refused = commands.call("analysis.report", finished.folder, "activation=tanh", "--to", finished.folder, "--no-figures")
    assert refused.returncode == 1 and "nothing was written; write elsewhere with --to DIR" in refused.stderr
    assert sorted(finished.folder.iterdir()) == before
    refused = commands.call("analysis.report", finished.folder, "activation=tanh")
    assert refused.returncode == 2 and "needs --to DIR" in refused.stderr
    refused = commands.call("analysis.report", finished.folder, "status=ok", "--to", whole)
    assert refused.returncode == 2 and "by what was planned, not by results" in refused.stderr


@pytest.mark.slow
def test_a_run_is_explained(finished: Campaign, everything: list[dict[str, str]]) -> None:
    done = next(row for row in everything if row["state"] == "done")
    shown = commands.call("hpc.explain", done["run_id"][:10], finished.folder)
    assert shown.returncode == 0
    n_correct, n_test = (int(float(done[name])) for name in ("n_correct", "n_test"))
    for text in (done["run_id"], f"({n_correct} of {n_test})", "this record counts", done["host"], done["shard"], "p=0.0"):
        assert text in shown.stdout
    assert f" {done['run_id']} mlp relu p=0 repeat 0: " in shown.stdout  # the line of its log
    assert shown.stdout.splitlines()[-1] == f"next        noisy report --output-dir {finished.folder}"
    missing = next(row for row in everything if row["state"] == "missing")
    shown = commands.call("hpc.explain", missing["run_id"], "--output-dir", finished.folder)
    assert "state       missing; not submitted" in shown.stdout
    assert shown.stdout.splitlines()[-1].startswith(f"next        noisy submit --grid {finished.grid} ")


@pytest.mark.slow
@pytest.mark.parametrize(("changes", "word"), [({}, "with equal numbers"), ({"n_correct": 7}, "that differ")])
def test_explain_names_ends_and_duplicates(at_cluster: Campaign, tmp_path: Path, changes: dict[str, int], word: str) -> None:
    run = cluster.RUNS[0]
    cluster.begin(at_cluster, 0, [failure(run, "ValueError: bad luck")])
    cluster.begin(at_cluster, 0, [record(run, cpu_s=1.0)], attempt=1)
    writer = ShardWriter(at_cluster.shards, 1, 0, 2, {**ATTRIBUTES, "host": "node2"})
    writer.append(record(run, cpu_s=2.0, **changes), current_run=IDS[1])
    assert read_shard(at_cluster.shard_paths()[2]).attributes["host"] == "node2"
    accounts = sacct("17_0|OUT_OF_MEMORY|0:125|n1", *(f"17_{i}|COMPLETED|0:0|n1" for i in (1, 2, 3)))
    with programs(tmp_path / "bin", squeue=squeue(), sacct=accounts):
        shown = commands.call("hpc.explain", run.run_id, at_cluster.folder).stdout
        killed = commands.call("hpc.explain", IDS[1], at_cluster.folder).stdout
    assert f"2 finished records {word}" in shown
    assert shown.count("this record counts") == 1
    assert all(text in shown for text in ("failed: ValueError: bad luck", "attempt 2 of task 0", "on node2"))
    assert "begun       attempt 2 of task 0, submission 0001, on node2" in killed
    assert "ended       job 17_0 on n1: OUT_OF_MEMORY (asked for 1000 MB, 10 min)" in killed


@pytest.mark.slow
def test_commands_find_the_campaign_of_the_current_folder(
    finished: Campaign, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module, *options in (("hpc.cli", "runs", "--csv"), ("hpc.status", "--json"), ("hpc.logs", "p=0.5", "repeat=0")):
        printed = []
        for cwd, named in ((finished.shards, []), (tmp_path, [finished.folder]), (finished.folder.parent, ["campaign"])):
            monkeypatch.chdir(cwd)
            printed.append(commands.call(module, *options, *named))
        assert {each.returncode for each in printed} == {0}
        assert len({each.stdout.replace(str(finished.folder), "campaign") for each in printed}) == 1, module


def test_a_word_that_is_a_folder_is_the_campaign(tmp_path: Path) -> None:
    shown = commands.call("hpc.runs", tmp_path, "p=1", "--output-dir", tmp_path)
    assert shown.returncode == 2 and "only one campaign is possible" in shown.stderr
    shown = commands.call("hpc.runs", "no/where", "p=1")
    assert shown.returncode == 2 and "no/where/manifest.jsonl: cannot be read" in shown.stderr
    shown = commands.call("hpc.explain", "abc", "p=1", tmp_path)
    assert shown.returncode == 2 and "not possible: p=1" in shown.stderr
    assert commands.call("hpc.explain", "abc", "abd").returncode == 2


def test_a_word_that_may_have_meant_a_campaign_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shown = commands.call("hpc.status", "nowhere", "p=1")
    assert shown.returncode == 2 and "neither a filter nor a folder: 'nowhere'; results: no campaign here" in shown.stderr


def test_an_ambiguous_run_id_names_the_runs() -> None:
    several = runs(*(spec(repeat=i) for i in range(17)))  # two of them begin with the same digit
    twice = next(digit for digit in "0123456789abcdef" if sum(name.startswith(digit) for name in several.ids()) > 1)
    with pytest.raises(Refused, match=f"'{twice}' matches . runs of this campaign") as error:
        place_of(twice, several)
    assert [line.split()[0] for line in error.value.details] == [name for name in several.ids() if name.startswith(twice)]


def test_a_table_is_aligned() -> None:
    lines = list(table(["run", "n", "why"], [("a", 1, "x\ny"), ("bcde", 123456, ""), ("f", None, "z")]))
    assert lines == ["run        n  why", "a          1  x y", "bcde  123456", "f             z"]
