"""Nodes on which every task fails, a node whose Prolog fails, and what doctor finds at a site."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import commands
from tests.slurm.cluster import (
    NODES,
    SHORT,
    drain,
    local_table,
    records,
    release_what_is_held,
    sh,
    submit,
    table,
    wait_for,
)


@pytest.fixture
def grid(tmp_path: Path) -> Path:
    path = tmp_path / "grid.yaml"
    path.write_text(SHORT)
    return path


@pytest.fixture
def swallowing_node(slurm: Path, tmp_path: Path) -> Iterator[str]:
    """A node that does not see the folder of the campaigns."""
    start_again(slurm, "unshare", "--mount", "sh", "-c", f"mount -t tmpfs none '{tmp_path}' && exec slurmd -N {NODES}3")
    wait_for(lambda: sh(f"sinfo --noheader --nodes={NODES}3 --partition=main --format=%t").strip() == "idle")
    yield f"{NODES}3"
    start_again(slurm, "slurmd", "-N", f"{NODES}3")


def start_again(slurm: Path, *command: str) -> None:
    """Stop node 3 of this cluster (another may run on this machine), and start it by a command."""
    pid = int((slurm / f"slurmd-{NODES}3.pid").read_text())
    os.kill(pid, signal.SIGTERM)
    wait_for(lambda: sh(f"cat /proc/{pid}/cmdline", check=False) == "")  # a zombie has none
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def seen(campaign: Path) -> dict:
    """What `status --json` says."""
    return json.loads(commands.call("hpc.status", "--output-dir", campaign, "--json").stdout)


def test_a_node_that_swallows_workers_is_named_and_avoided(
    campaign: Path, grid: Path, digits_dir: Path, swallowing_node: str
) -> None:
    submit(grid, campaign, digits_dir, "--limit", "3", "--sbatch", f"exclude={swallowing_node}")
    drain()
    submit(grid, campaign, digits_dir, "--runs-per-task", "3", "--sbatch", f"nodelist={swallowing_node}")
    drain()
    found = wait_for(lambda: seen(campaign)["suspects"] and seen(campaign), 30)  # the accounting may hear of it later
    assert (found["done"], found["lost"], list(found["suspects"])) == (3, 9, [swallowing_node])
    again = submit(grid, campaign, digits_dir)
    assert f"note: node {swallowing_node} is avoided: " in again.stdout
    drain()
    assert len(records(campaign)) == 12
    assert commands.call("hpc.status", "--output-dir", campaign).returncode == 0


def test_where_one_node_swallows_workers_the_others_do_all(
    campaign: Path, grid: Path, digits_dir: Path, swallowing_node: str
) -> None:
    grid.write_text(SHORT.replace("max_workers: 2", "max_workers: 4"))
    options = ("--runs-per-task", "1", "--sbatch", "cpus-per-task=20")  # a worker fills a node
    job = submit(grid, campaign, digits_dir, *options).stdout.split("submitted as ")[1].split()[0]
    drain()
    ends = f"sacct --jobs={job} --allocations --noheader --parsable2 --format=State,NodeList"
    wait_for(lambda: f"FAILED|{swallowing_node}" in sh(ends), 30)
    assert set(records(campaign).values()) == {1}
    assert len(records(campaign)) == 12


def test_a_failed_prolog_is_named_with_the_command_that_helps(
    campaign: Path, grid: Path, digits_dir: Path, slurm: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Slurm drains the node, and holds the task that it was to execute."""
    fails = slurm / f"fails.{NODES}2"
    fails.touch()
    try:
        submit(grid, campaign, digits_dir, "--runs-per-task", 4, "--sbatch", f"nodelist={NODES}2")
        wait_for(lambda: "launch failed requeued held" in sh("squeue --noheader --format=%r"))
        assert "drain" in sh(f"sinfo --noheader --nodes={NODES}2 --partition=main --format=%T")
        shown = commands.call("hpc.status", "--output-dir", campaign)
        assert "launch failed requeued held: held when it was queued again. It does not start by itself" in shown.stdout
        assert "scontrol release JOB" in shown.stdout
        assert "lost" not in shown.stdout
        again = submit(grid, campaign, digits_dir)
        assert "Nothing to submit" in again.stdout
    finally:
        fails.unlink()
    sh(f"scontrol update nodename={NODES}2 state=resume")
    wait_for(lambda: release_what_is_held() == "")
    assert set(records(campaign).values()) == {1}
    assert table(campaign) == local_table(tmp_path_factory, SHORT, digits_dir)


def doctor(*options: object) -> tuple[int, dict[str, dict]]:
    """The exit status of `doctor --run`, and what -> its last line."""
    done = commands.call("hpc.doctor", "--run", "--json", "--executor", "slurm", *options)
    return done.returncode, {line["what"]: line for line in json.loads(done.stdout)["lines"]}


def test_doctor_finds_a_good_site_good(tmp_path: Path) -> None:
    status, found = doctor("--output-dir", tmp_path)
    assert (status, found["accounting"]["mark"], found["test-only"]["mark"]) == (0, "ok", "ok")
    assert found["trainings"]["found"].startswith("2 of 2 are done")
    assert found["node"]["found"].startswith("NODE sees the folder")
    drain(30)  # the sweep, which is cancelled, may be ending
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("no_accounting")
def test_doctor_notes_that_there_is_no_accounting(tmp_path: Path) -> None:
    status, found = doctor("--output-dir", tmp_path / "new")
    assert (status, found["accounting"]["mark"], found["trainings"]["mark"]) == (0, "note", "ok")


def test_doctor_names_a_node_that_does_not_see_the_folder(tmp_path: Path, swallowing_node: str) -> None:
    status, found = doctor("--output-dir", tmp_path, "--sbatch", f"nodelist={swallowing_node}", "--names")
    assert (status, found["trainings"]["mark"]) == (1, "problem")
    (worker,) = {line["found"] for what, line in found.items() if what.startswith("worker ")}
    assert worker.endswith(f"on {swallowing_node}; it left no log, so the node does not see the folder")
