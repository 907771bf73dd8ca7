"""What concerns only ordinary users: limits of their accounts, and partitions and jobs that are hidden from them."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.slurm.cluster import LONG, SHORT, drain, processes, records, sh, stop_clock, wait_for
from tests.slurm.users import User, two_users


@pytest.fixture(scope="module")
def users(slurm: Path) -> Iterator[tuple[User, User]]:
    with two_users(slurm) as made:
        yield made


def grid_of(user: User, text: str) -> Path:
    path = user.home / "grid.yaml"
    path.write_text(text)
    return path


def seen_by(user: User, campaign: Path) -> tuple[int, dict]:
    """The exit status of `status`, and what it says."""
    done = user.python("hpc.status", "--output-dir", campaign, "--json")
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, json.loads(done.stdout)


@pytest.mark.parametrize("limit", ["account GrpSubmitJobs", "user MaxSubmitJobs", "account MaxSubmitJobs"])
def test_a_limit_on_submitted_jobs_holds_back_and_the_rest_follows(users: tuple[User, User], limit: str) -> None:
    """Of four tasks two may be in the queue. A limit of another account of the user does not matter."""
    user, (kind, key) = users[0], limit.split()
    campaign, grid = user.home / key.lower() / kind, grid_of(user, SHORT.replace("workers: 2", "workers: 3"))
    whose = f"account where name={user.account}" if kind == "account" else f"user where name={user.name} account={user.account}"
    sh(f"sacctmgr -i modify {whose} set {key}=2")
    sh(f"sacctmgr -i add account other; sacctmgr -i add user {user.name} account=other; true")
    sh(f"sacctmgr -i modify user where name={user.name} account=other set MaxSubmitJobs=1")
    try:
        n_accepted = 0
        for _ in range(4):
            done = user.submit(grid, campaign, "--runs-per-task", 3)
            assert done.returncode == 0, done.stdout + done.stderr
            if "Nothing to submit" in done.stdout:
                break
            in_queue = sh(f"squeue --noheader --array --user={user.name}").splitlines()
            assert len(in_queue) <= 2
            n_accepted = max(n_accepted, len(in_queue))
            drain()
    finally:
        sh(f"sacctmgr -i modify {whose} set {key}=-1")
    assert n_accepted == 2, done.stdout
    assert set(records(campaign).values()) == {1}
    assert len(records(campaign)) == 12


def test_another_user_sees_what_is_at_work_in_a_hidden_partition(users: tuple[User, User]) -> None:
    owner, other = users
    campaign = owner.home / "seen"
    sh("scontrol update partition=main hidden=yes")
    try:
        done = owner.submit(grid_of(owner, LONG), campaign)
        assert done.returncode == 0, done.stdout + done.stderr
        wait_for(lambda: seen_by(owner, campaign)[1]["running"])
        stop_clock(campaign)
        for user in users:
            assert user.run("squeue", "--noheader").stdout == ""
            status, found = seen_by(user, campaign)
            assert (status, found["running"] + found["queued"], found["unreachable"]) == (0, 12, "")
        assert found["running"] > 0
    finally:
        sh("scontrol update partition=main hidden=no")
    again = owner.submit(grid_of(owner, LONG), campaign)
    assert "Nothing to submit" in again.stdout
    sh(f"squeue --noheader --format=%A --user={owner.name} | sort -u | xargs scancel")
    drain()
    assert seen_by(other, campaign)[1]["cancelled"] > 0


@pytest.fixture
def private_jobs(slurm: Path) -> Iterator[None]:
    """Users see no jobs of other users, neither in the queue nor in the accounting."""
    files = {name: (slurm / name).read_text() for name in ("slurm.conf", "slurmdbd.conf")}
    for name, text in files.items():
        (slurm / name).write_text(text + "PrivateData=jobs\n")
    read_again(slurm)
    yield
    for name, text in files.items():
        (slurm / name).write_text(text)
    read_again(slurm)


def read_again(slurm: Path) -> None:
    """Have the daemons read their configuration."""
    os.kill(int((slurm / "slurmdbd.pid").read_text()), signal.SIGHUP)
    sh("scontrol reconfigure")


@pytest.mark.usefixtures("private_jobs")
def test_tasks_that_another_user_may_not_see_are_unknown_not_lost(users: tuple[User, User]) -> None:
    owner, other = users
    campaign = owner.home / "private"
    done = owner.submit(grid_of(owner, LONG), campaign)
    assert done.returncode == 0, done.stdout + done.stderr
    wait_for(lambda: processes(campaign))
    stop_clock(campaign)
    job = sh("squeue --noheader --format=%A").split()[0]
    assert other.run("squeue", "--noheader", "--all").stdout == ""
    assert other.run("sacct", "--allusers", "--noheader", f"--jobs={job}").stdout == ""
    status, found = seen_by(owner, campaign)
    assert (status, found["running"] + found["queued"]) == (0, 12)
    status, found = seen_by(other, campaign)
    assert (status, found["unknown"], found["lost"]) == (3, 12, 0)
