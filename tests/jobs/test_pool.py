"""Local workers: what they share, what they tell, and that none outlives whom it works for."""

import os
import shutil
import signal
import sys
from pathlib import Path

import pytest

from jobs.campaign import Campaign
from jobs.files import publish
from jobs.shard import read_shard
from jobs.taskfile import Task
from jobs.tasklog import without_time
from noisy.spec import Execution
from tests.processes import pool, pools, processes, wait_for, workers
from tests.records import recorded, submitted
from tests.specs import runs, spec

ENDLESS = spec(epochs=100_000)


def resident_kb(pid: int) -> dict[str, int]:
    """Memory by kind (proc(5), smaps_rollup)."""
    lines = (line.split() for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:])
    return {name.rstrip(":"): int(kb) for name, kb, *_ in lines}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere workers are not forked")
def test_workers_share_what_their_parent_has_loaded_die_with_it_and_name_what_they_trained(
    tmp_path: Path, digits_dir: Path
) -> None:
    """The parent has one thread, no CUDA and no shard: nothing that a fork would leave in pieces.

    A worker dies in its second run; in the third, and the second is cancelled; in the third, and both before it are cancelled.
    """
    tasks = [
        [spec(repeat=10 * task + i, epochs=ENDLESS.epochs if i == at else 2) for i in range(3)]
        for task, at in enumerate((1, 2, 2))
    ]
    campaign = submitted(tmp_path / "c", digits_dir, *tasks)
    publish(campaign.new_cancelled(1), "\n".join(run.run_id for run in (tasks[1][1], *tasks[2][:2])).encode())
    endless = [next(run.run_id for run in task if run.epochs > 2) for task in tasks]
    with pool(campaign, 3) as process:
        paths = wait_for(lambda: len(found := campaign.shard_paths()) == 3 and found)
        wait_for(lambda: [read_shard(path).attributes["current_run"] for path in paths] == endless)
        at_work = workers(campaign.folder)
        assert pools(campaign.folder) == {process.pid}
        assert len(at_work) == 3
        assert len(os.listdir(f"/proc/{process.pid}/task")) == 1
        opened = [os.readlink(f"/proc/{process.pid}/fd/{n}") for n in os.listdir(f"/proc/{process.pid}/fd")]
        assert not [path for path in opened if path.endswith(".h5") or "nvidia" in path]
        for pid in at_work:
            memory = resident_kb(pid)
            assert memory["Shared_Dirty"] > 20_000, "written by the parent, and by nobody since"
            assert memory["Private_Clean"] + memory["Private_Dirty"] < memory["Rss"] / 2
        process.kill()
        wait_for(lambda: not processes(campaign.folder), 5)
    assert [read_shard(path).attributes["current_run"] for path in paths] == endless
    assert sorted(run_id for run_id, _ in recorded(campaign)) == sorted(run.run_id for run in (tasks[0][0], tasks[1][0]))


CANNOT_BEGIN = {
    "gpu": "error: RuntimeError: use_cuda: true, but torch",
    "no data": "error: DataError: dataset digits: files are missing",
    "other data": "error: DataError: dataset digits: not the published files; train-images-idx3-ubyte: found",
    "task": "error: ManifestError: ",
}
KILLED, NO_LOG, DONE, LAST = range(4, 8)  # the tasks after those


@pytest.fixture(scope="module")
def disturbed(tmp_path_factory: pytest.TempPathFactory, digits_dir: Path) -> tuple[Campaign, list[str]]:
    """A campaign of one worker in which much goes wrong, and what its pool printed. The last task is endless."""
    folder = tmp_path_factory.mktemp("disturbed")
    shutil.copytree(digits_dir, folder / "other data")
    labels = folder / "other data" / "Digits" / "raw" / "t10k-labels-idx1-ubyte"
    labels.write_bytes(labels.read_bytes()[:-1] + b"\0")
    campaign = submitted(folder / "c", digits_dir)
    wanted = runs(*(spec(repeat=repeat) for repeat in range(3)))
    tasks = [
        Task(
            i, "c0ffee", "abc", str(folder / what if "data" in what else digits_dir), Execution(use_cuda=what == "gpu"), wanted
        )
        for i, what in enumerate(CANNOT_BEGIN)
    ]
    others = {KILLED: ENDLESS, NO_LOG: spec(repeat=8), DONE: spec(repeat=9), LAST: ENDLESS}
    tasks += [Task(i, "c0ffee", "abc", str(digits_dir), Execution(), runs(run)) for i, run in others.items()]
    lines = [task.line() for task in tasks]
    lines[3] = lines[3].replace(b'"p":', b'"p":0')
    publish(campaign.tasks(1), lines)
    campaign.log(1, NO_LOG).mkdir()
    with pool(campaign, 1, CUDA_VISIBLE_DEVICES="") as process:
        for attempt in range(3):
            wait_for(lambda attempt=attempt: campaign.shard_paths(f"0001-{KILLED:05d}-{attempt}-"))
            (worker,) = workers(campaign.folder)
            os.kill(worker, signal.SIGKILL)
        wait_for(lambda: campaign.shard_paths(f"0001-{LAST:05d}-0-"))
        process.stdin.close()
        printed = process.stdout.read()
    assert process.returncode == 1
    return campaign, printed.splitlines()


@pytest.mark.slow
def test_a_task_whose_worker_is_killed_again_and_again_is_given_up(disturbed: tuple[Campaign, list[str]]) -> None:
    campaign, printed = disturbed
    log = campaign.log(1, KILLED)
    begun = [f"task {KILLED} attempt {attempt}: 1 of 1 runs to do" for attempt in range(3)]
    said = map(without_time, log.read_text().splitlines())
    assert [line for line in said if not line.startswith("warning: this code")] == begun
    (line,) = [line for line in printed if line.startswith(f"task {KILLED} ")]
    assert line.startswith(f"task {KILLED} was killed by signal 9 in 3 attempts: ") and line.endswith(f"(log: {log})")


@pytest.mark.slow
def test_a_task_that_cannot_begin_is_one_error_not_one_a_run(disturbed: tuple[Campaign, list[str]]) -> None:
    campaign, printed = disturbed
    expected = []
    for i, said in enumerate(CANNOT_BEGIN.values()):
        log = campaign.log(1, i)
        last_line = without_time(log.read_text().splitlines()[-1])
        assert last_line.startswith(said)
        assert "Traceback" not in log.read_text()
        expected.append(f"task {i} ended with status 1: {last_line} (log: {log})")
        assert campaign.shard_paths(f"0001-{i:05d}-") == []
    assert printed[:4] == expected


@pytest.mark.slow
def test_what_is_disturbed_is_said_and_stops_no_other(disturbed: tuple[Campaign, list[str]]) -> None:
    """The log of one task cannot be written. The task after it is done."""
    campaign, printed = disturbed
    log = campaign.log(1, NO_LOG)
    assert printed[5:] == [f"task {NO_LOG} could not keep its results: its log cannot be read (Is a directory) (log: {log})"]
    assert campaign.shard_paths(f"0001-{NO_LOG:05d}-") == []
    assert recorded(campaign, f"0001-{DONE:05d}-") == [(spec(repeat=9).run_id, "ok")]
