"""Local workers: what they share, what they tell, and that none outlives whom it works for."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from jobs.campaign import Campaign
from jobs.files import publish
from jobs.shard import read_shard
from jobs.taskfile import Task
from jobs.tasklog import without_time
from noisy.spec import Execution
from tests.commands import ROOT
from tests.processes import pools, processes, wait_for, workers
from tests.records import submitted
from tests.specs import runs, spec

ENDLESS = spec(epochs=100_000)
TRAIN = """
import sys
from noisy import data, spec, training
for text in sys.argv[2:]:
    result = training.train(spec.spec_of(text), data.load("digits", sys.argv[1]))
    print(result.train_loss.tobytes().hex(), result.test_loss.tobytes().hex(), result.correct.tobytes().hex())
"""


@contextmanager
def pool(campaign: Campaign, n_workers: int = 2, **environment: str) -> Iterator[subprocess.Popen]:
    """As hpc.submit starts it. At the end its standard input is closed, and nobody is left behind."""
    command = [sys.executable, "-m", "jobs.pool", str(campaign.folder), "1", str(n_workers)]
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1", **environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:  # which closes its pipes and waits
        yield process
    wait_for(lambda: not processes(campaign.folder), 5)


def resident_kb(pid: int) -> dict[str, int]:
    """Memory by kind (proc(5), smaps_rollup)."""
    lines = (line.split() for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:])
    return {name.rstrip(":"): int(kb) for name, kb, *_ in lines}


@pytest.mark.slow
def test_forked_workers_give_the_bits_of_fresh_processes(tmp_path: Path, digits_dir: Path) -> None:
    """Tasks of one worker after the other and side by side, so that some are forked after others have ended."""
    tasks = [
        (spec(model_type="cnn", epochs=1, repeat=repeat, max_train_samples=300), spec(activation="tanh", repeat=repeat))
        for repeat in range(3)
    ]
    campaign = submitted(tmp_path / "c", digits_dir, *tasks)
    with pool(campaign) as process:
        assert process.stdout.read() == ""  # communicate() would close its input
    assert process.returncode == 0

    recorded = {}
    for shard in map(read_shard, campaign.shard_paths()):
        for row, history, correct in zip(shard.runs, shard.history, shard.correct, strict=True):
            bits = [*(losses[~(losses != losses)].tobytes().hex() for losses in history[:2]), correct.tobytes().hex()]
            recorded[row["run_id"].decode()] = bits
            assert 0 < row["cpu_s"] < 60
            assert 50 < row["peak_mem_mb"] < 2_000
    trained = [run for task in tasks for run in task]
    command = [sys.executable, "-c", TRAIN, str(digits_dir), *(run.canonical_json() for run in trained)]
    printed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    assert [" ".join(recorded[run.run_id]) for run in trained] == printed.splitlines()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere workers are not forked")
def test_workers_share_what_their_parent_has_loaded(tmp_path: Path, digits_dir: Path) -> None:
    """It has one thread, no CUDA and no shard: nothing that a fork would leave in pieces."""
    campaign = submitted(tmp_path / "c", digits_dir, (ENDLESS,), (ENDLESS,))
    with pool(campaign) as process:
        at_work = wait_for(lambda: len(campaign.shard_paths()) == 2 and workers(campaign.folder))
        assert pools(campaign.folder) == {process.pid}
        assert len(at_work) == 2
        assert len(os.listdir(f"/proc/{process.pid}/task")) == 1
        opened = [os.readlink(f"/proc/{process.pid}/fd/{n}") for n in os.listdir(f"/proc/{process.pid}/fd")]
        assert not [path for path in opened if path.endswith(".h5") or "nvidia" in path]
        for pid in at_work:
            memory = resident_kb(pid)
            assert memory["Shared_Dirty"] > 20_000, "written by the parent, and by nobody since"
            assert memory["Private_Clean"] + memory["Private_Dirty"] < memory["Rss"] / 2
    assert process.returncode == 1


@pytest.mark.slow
def test_workers_die_with_their_parent(tmp_path: Path, digits_dir: Path) -> None:
    campaign = submitted(tmp_path / "c", digits_dir, (ENDLESS,), (ENDLESS,), (ENDLESS,))
    with pool(campaign, 3) as process:
        wait_for(lambda: len(workers(campaign.folder)) == 3 and len(campaign.shard_paths()) == 3)
        process.kill()
        wait_for(lambda: not processes(campaign.folder), 5)


@pytest.mark.slow
def test_a_task_whose_worker_is_killed_again_and_again_is_given_up(tmp_path: Path, digits_dir: Path) -> None:
    campaign = submitted(tmp_path / "c", digits_dir, (ENDLESS,), (spec(),))
    with pool(campaign, 1) as process:
        for attempt in range(3):
            wait_for(lambda attempt=attempt: campaign.shard_paths(f"0001-00000-{attempt}-"))
            (worker,) = workers(campaign.folder)
            os.kill(worker, signal.SIGKILL)
        printed = process.stdout.read()
    log = campaign.log(1, 0)
    begun = [f"task 0 attempt {attempt}: 1 of 1 runs to do" for attempt in range(3)]
    said = map(without_time, log.read_text().splitlines())
    assert [line for line in said if not line.startswith("warning: this code")] == begun
    assert printed.startswith("task 0 was killed by signal 9 in 3 attempts: ")
    assert printed.endswith(f"(log: {log})\n")
    assert len(printed.splitlines()) == 1
    assert len(campaign.shard_paths("0001-00001-0-")) == 1, "the other task is done"


CANNOT_BEGIN = {
    "gpu": "error: RuntimeError: use_cuda: true, but torch",
    "no data": "error: DataError: dataset digits: files are missing",
    "other data": "error: DataError: dataset digits: not the published files; train-images-idx3-ubyte: found",
    "task": "error: ManifestError: ",
}


@pytest.mark.slow
def test_a_task_that_cannot_begin_is_one_error_not_one_a_run(tmp_path: Path, digits_dir: Path) -> None:
    shutil.copytree(digits_dir, tmp_path / "other data")
    labels = tmp_path / "other data" / "Digits" / "raw" / "t10k-labels-idx1-ubyte"
    labels.write_bytes(labels.read_bytes()[:-1] + b"\0")
    campaign = submitted(tmp_path / "c", digits_dir)
    wanted = runs(*(spec(repeat=repeat) for repeat in range(3)))
    tasks = [
        Task(
            i,
            "c0ffee",
            "abc",
            str(tmp_path / what if "data" in what else digits_dir),
            Execution(use_cuda=what == "gpu"),
            wanted,
        )
        for i, what in enumerate(CANNOT_BEGIN)
    ]
    lines = [task.line() for task in tasks]
    publish(campaign.tasks(1), [*lines[:-1], lines[-1].replace(b'"p":', b'"p":0')])
    with pool(campaign, CUDA_VISIBLE_DEVICES="") as process:
        printed = process.stdout.read()
    expected = set()
    for i, said in enumerate(CANNOT_BEGIN.values()):
        log = campaign.log(1, i)
        last_line = without_time(log.read_text().splitlines()[-1])
        assert last_line.startswith(said)
        assert "Traceback" not in log.read_text()
        expected.add(f"task {i} ended with status 1: {last_line} (log: {log})")
    assert set(printed.splitlines()) == expected
    assert campaign.shard_paths() == []


@pytest.mark.slow
def test_a_log_that_cannot_be_written_is_said_and_stops_no_other(tmp_path: Path, digits_dir: Path) -> None:
    campaign = submitted(tmp_path / "c", digits_dir, (spec(),), (spec(repeat=1),))
    campaign.log(1, 0).mkdir()
    with pool(campaign, 1) as process:
        printed = process.stdout.read()
    assert len(campaign.shard_paths("0001-00001-")) == 1
    assert (
        printed == f"task 0 could not keep its results: its log cannot be read (Is a directory) (log: {campaign.log(1, 0)})\n"
    )
