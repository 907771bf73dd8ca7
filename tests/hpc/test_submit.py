"""hpc.submit, as a user runs it: what is missing is done, what is done is left alone, what fails stops nothing else."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hpc.execution.capacity import local_capacity
from hpc.execution.choice import SECTIONS
from hpc.planning.tasks import plan
from hpc.request.grid import load_grid
from hpc.state import submissions
from hpc.state.submissions import Submission
from jobs.campaign import Campaign
from jobs.manifest import write_manifest
from jobs.shard import ShardWriter, read_shard
from jobs.taskfile import Task
from noisy.processor import this_processor
from noisy.spec import Execution
from tests import commands
from tests.campaigns import GRID
from tests.commands import TOO_LARGE, little_memory, submit
from tests.processes import pools, processes, wait_for, workers
from tests.records import ATTRIBUTES, failure

CORES = len(os.sched_getaffinity(0))
ENDLESS = GRID.replace("repeats: 2", "repeats: 1000")  # its first runs are soon done, and it does not end within a test


@pytest.fixture
def grid(tmp_path: Path) -> Path:
    path = tmp_path / "grid.yaml"
    path.write_text(GRID)
    return path


def run_ids(output_dir: Path, status: str = "ok") -> list[str]:
    shards = [read_shard(path) for path in Campaign(output_dir).shard_paths()]
    return [row["run_id"].decode() for shard in shards for row in shard.runs if row["status"].decode() == status]


@pytest.fixture
def done_before(finished: Campaign, tmp_path: Path) -> Path:
    """The folder of a campaign whose 8 runs of GRID are done."""
    return Path(shutil.copytree(finished.folder, tmp_path / "campaign"))


@pytest.mark.slow
def test_a_campaign_from_nothing_to_nothing_missing(grid: Path, tmp_path: Path, done_before: Path, digits_dir: Path) -> None:
    dry = submit(grid, tmp_path / "new", digits_dir, "--dry-run")
    assert dry.returncode == 0, dry.stderr
    assert re.search(r"runs +8 to run; 0 of the grid's 8 are done\n", dry.stdout)
    assert re.search(r"CPU time +\S+ CPU s expected \(\S+ to \S+\)\n", dry.stdout)
    assert re.search(r"memory +\S+ GB at most", dry.stdout)
    assert not (tmp_path / "new").exists(), "a dry run wrote"

    out = done_before  # by two submissions of at most 4 runs each
    assert len(run_ids(out)) == len(set(run_ids(out))) == 8

    grid.write_text(GRID.replace("repeats: 2", "repeats: 3").replace("[0.0, 0.5]", "[0.0, 0.25, 0.5]"))
    extended = submit(grid, out, digits_dir)
    assert extended.returncode == 0, extended.stderr
    assert "10 to run; 8 of the grid's 18 are done" in extended.stdout
    assert "changed    6 runs are new\n           ps: [0.0, 0.5] -> [0.0, 0.25, 0.5]\n" in extended.stdout
    assert "10 of 10 runs done, 0 failed." in extended.stdout
    assert len(run_ids(out)) == len(set(run_ids(out))) == 18
    assert (out / "grid.yaml").read_text() == grid.read_text()

    again = submit(grid, out, digits_dir)
    assert again.returncode == 0
    assert again.stdout.startswith("Nothing to submit: 18 of 18 runs done.")
    assert submissions.numbers(Campaign(out)) == [1, 2, 3]


@pytest.mark.slow
def test_a_run_that_raises_stops_no_other_and_there_are_never_more_workers_than_allowed(
    grid: Path, tmp_path: Path, digits_dir: Path
) -> None:
    text = GRID.replace("hidden_sizes: [16]", f"hidden_sizes: [[16], {TOO_LARGE}]").replace("max_workers: 2", "max_workers: 1")
    grid.write_text(text.replace("[0.0, 0.5]", "[0.5]").replace("[relu, tanh]", "[relu]"))
    with little_memory():
        process = commands.start(*commands.submit_command(grid, tmp_path / "campaign", digits_dir))
    seen = []
    while process.poll() is None:
        seen.append(len(workers(tmp_path / "campaign")))
        time.sleep(0.05)
    stdout, stderr = process.communicate()
    assert re.search(r"^tasks +[2-4], 1 at a time", stdout, re.MULTILINE) and max(seen) == 1
    assert process.returncode == 1
    assert "2 of 4 runs done, 2 failed." in stdout
    assert "The same command tries again" in stdout
    assert stdout.endswith(f" -m hpc.logs --failed --output-dir {tmp_path}/campaign\n")
    assert "Traceback" not in stderr
    assert len(run_ids(tmp_path / "campaign")) == 2
    assert len(run_ids(tmp_path / "campaign", "failed")) == 2


@pytest.mark.slow
def test_bfloat16_is_done_or_refused_before_anything_is_written(grid: Path, tmp_path: Path, digits_dir: Path) -> None:
    grid.write_text(GRID.replace("[0.0, 0.5]", "[0.5]").replace("repeats: 2", "repeats: 1") + "precision: bfloat16\n")
    answer = submit(grid, tmp_path / "campaign", digits_dir)
    refusal = this_processor().bfloat16_refusal
    if refusal:
        assert answer.returncode == 2
        assert answer.stderr == f"error: precision: bfloat16: {refusal}; allowed on this machine: float32\n"
        assert not (tmp_path / "campaign").exists()
    else:
        assert answer.returncode == 0, answer.stderr
        assert "2 of 2 runs done, 0 failed." in answer.stdout


def test_a_failed_run_is_tried_again_and_given_up_after_three_tries(grid: Path, tmp_path: Path, digits_dir: Path) -> None:
    grid.write_text(GRID.replace("[0.0, 0.5]", "[0.5]").replace("[relu, tanh]", "[relu]").replace("repeats: 2", "repeats: 1"))
    (run,) = runs = load_grid(grid, SECTIONS).runs()
    campaign = Campaign(tmp_path / "campaign")
    campaign.shards.mkdir(parents=True)
    campaign.submissions.mkdir()
    header = write_manifest(campaign.manifest, runs, "abc")
    for n_tries in (1, 2, 3):
        submission = Submission.by_this_process(n_tries, header.campaign, "local", plan(runs, 1, Execution()))
        submissions.claim(campaign, submission, [Task(0, header.campaign, "abc", str(digits_dir), Execution(), runs)])
        submissions.end(campaign, submission)
        ShardWriter(campaign.shards, n_tries, 0, 0, ATTRIBUTES | {"campaign": header.campaign}).append(failure(run))
        dry = submit(grid, campaign.folder, digits_dir, "--dry-run")
        assert ("1 to run; 0 of the grid's 1 are done" in dry.stdout) == (n_tries < 3)
    given_up = submit(grid, campaign.folder, digits_dir)
    assert given_up.returncode == 1
    assert "1 run failed 3 times and is left out; --retry-failed tries again" in given_up.stdout
    assert "0 of 1 run done. Next: noisy logs --failed" in given_up.stdout
    dry = submit(grid, campaign.folder, digits_dir, "--dry-run", "--retry-failed")
    assert "1 to run" in dry.stdout


@pytest.mark.slow
def test_results_outlive_the_manifest_and_the_submissions(grid: Path, done_before: Path, digits_dir: Path) -> None:
    out = done_before
    (out / "manifest.jsonl").unlink()
    shutil.rmtree(out / "submissions")
    again = submit(grid, out, digits_dir)
    assert again.stdout.startswith("Nothing to submit: 8 of 8 runs done.")
    assert commands.call("analysis.report", "--no-figures", "--output-dir", out).stdout.startswith(f"{out}: 8 of 8 runs done")
    (out / "manifest.jsonl").write_text("damaged\n")
    assert submit(grid, out, digits_dir).stdout.startswith("Nothing to submit: 8 of 8 runs done.")


@pytest.mark.slow
def test_the_environment_names_the_data_and_an_unseen_submission_can_be_abandoned(
    grid: Path, done_before: Path, digits_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOISY_DATA_DIR", str(digits_dir))
    command = ("hpc.submit", "--grid", grid, "--output-dir", done_before, "--executor", "local", "--dry-run")
    record = done_before / "submissions" / "0001" / "submission.json"
    elsewhere = json.loads(record.read_text()) | {"ended": None}
    elsewhere["process"] |= {"host": "elsewhere", "boot_id": "another"}
    record.write_text(json.dumps(elsewhere))
    for path in Campaign(done_before).shard_paths("0001-"):
        path.unlink()
    unseen = commands.call(*command)
    assert "cannot be checked from this host: if it no longer runs, add --abandon 1" in unseen.stdout
    assert "Nothing to submit: 4 of 8 runs done" in unseen.stdout
    abandoned = commands.call(*command, "--abandon", "1").stdout
    assert "4 to run; 4 of the grid's 8 are done" in abandoned
    assert f"digits is in {digits_dir}" in abandoned


def test_a_worker_larger_than_the_machine_is_refused(grid: Path, tmp_path: Path, digits_dir: Path) -> None:
    grid.write_text(GRID + "cpu_threads_per_worker: 100000\n")
    refused = submit(grid, tmp_path / "campaign", digits_dir)
    assert refused.returncode == 2
    assert "cpu_threads_per_worker + data_workers is 100000, but this machine has" in refused.stderr
    assert not (tmp_path / "campaign").exists()


@pytest.mark.slow
@pytest.mark.parametrize(("epochs", "question"), [(500_000, "\nGo ahead? [y/N]"), (2_000_000_000, " days. Go ahead? [y/N]")])
def test_a_large_plan_asks_on_a_terminal_and_no_is_no(
    epochs: int, question: str, grid: Path, tmp_path: Path, digits_dir: Path
) -> None:
    grid.write_text(GRID.replace("epochs: 1", f"epochs: {epochs}"))
    module, *arguments = commands.submit_command(grid, tmp_path / "campaign", digits_dir)
    parent, child = os.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", module, *map(str, arguments)], cwd=commands.ROOT, stdin=child, stdout=child, stderr=child
    )
    os.close(child)
    os.write(parent, b"n\n")
    assert process.wait(60) == 2
    shown = os.read(parent, 65536).decode()
    os.close(parent)
    assert question in shown
    assert "not submitted: " in shown
    assert not (tmp_path / "campaign").exists()


@pytest.mark.parametrize(
    ("wanted", "execution", "mem_mb", "workers"),
    [(1, Execution(), 1, 1), (10**6, Execution(), 1, CORES), (None, Execution(), 1, CORES), (10**6, Execution(), 1e9, 1)],
)
def test_capacity_is_what_cores_and_memory_allow(wanted: int | None, execution: Execution, mem_mb: float, workers: int) -> None:
    capacity = local_capacity(wanted, execution, mem_mb)
    assert capacity.workers == workers
    assert bool(capacity.reason) == (wanted == 10**6)


@pytest.mark.slow
def test_a_sigterm_while_torch_is_loaded_leaves_nobody_behind(grid: Path, tmp_path: Path, digits_dir: Path) -> None:
    out = tmp_path / "campaign"
    process = commands.start(*commands.submit_command(grid, out, digits_dir))
    wait_for(lambda: processes(out))
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == 130
    assert processes(out) == {}


@pytest.mark.slow
def test_a_killed_parent_of_the_workers_is_said(grid: Path, tmp_path: Path, digits_dir: Path) -> None:
    out = tmp_path / "campaign"
    grid.write_text(ENDLESS)
    process = commands.start(*commands.submit_command(grid, out, digits_dir))
    wait_for(lambda: workers(out))
    os.kill(pools(out).pop(), signal.SIGKILL)
    _, stderr = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "error: the process that starts the workers was killed by signal 9: it printed nothing (log: " in stderr
    wait_for(lambda: not processes(out), 5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("torch", "how"),
    [
        ("raise ImportError('libtorch.so: no such file')", "ended with status 1: ImportError: libtorch.so: no such file"),
        ("import os; os.abort()", "was killed by signal 6: it printed nothing"),
    ],
)
def test_a_torch_that_does_not_load_is_said(
    grid: Path, tmp_path: Path, digits_dir: Path, monkeypatch: pytest.MonkeyPatch, torch: str, how: str
) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken/torch.py").write_text(torch)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "broken"), prepend=os.pathsep)
    out = tmp_path / "campaign"
    done = submit(grid, out, digits_dir)
    assert done.returncode == 1
    assert done.stderr == f"error: the process that starts the workers {how} (log: {out}/submissions/0001/logs/pool.log)\n"
    assert "0 of 8 runs done, 0 failed." in done.stdout


@pytest.mark.slow
def test_another_submit_leaves_what_is_at_work_and_an_interrupt_keeps_what_is_done_and_leaves_nobody_behind(
    grid: Path, tmp_path: Path, digits_dir: Path
) -> None:
    out = tmp_path / "campaign"
    grid.write_text(ENDLESS)
    process = commands.start(*commands.submit_command(grid, out, digits_dir))
    wait_for(lambda: out.exists() and run_ids(out))
    second = submit(grid, out, digits_dir)
    assert second.returncode == 0
    assert re.search(rf"\d tasks? of submission 0001 still at work \(process {process.pid} on ", second.stdout)
    assert "Nothing to submit" in second.stdout
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGHUP)  # a terminal that closes may send another; it does not disturb the end
    _, stderr = process.communicate(timeout=30)
    assert process.returncode == 130
    interrupted, command = stderr.splitlines()[-1].split(": ", 1)
    assert interrupted == "Interrupted. What is done is kept. To carry on with what is missing"
    assert "Traceback" not in stderr
    assert processes(out) == {}
    assert json.loads((out / "submissions/0001/submission.json").read_text())["ended"]
    assert submissions.numbers(Campaign(out)) == [1]
    _, option, name, *arguments = shlex.split(command)
    assert (option, name) == ("-m", "hpc.submit"), "as it was typed"
    assert arguments == [str(each) for each in commands.submit_command(grid, out, digits_dir)[1:]]
    n_done = len(run_ids(out))
    state = json.loads(commands.call("hpc.status", "--output-dir", out, "--json").stdout)
    assert (state["done"], state["missing"], state["lost"]) == (n_done, 4000 - n_done, 0)
    assert f"{n_done} of the grid's 4000 are done" in commands.call("hpc.submit", *arguments, "--dry-run").stdout


@pytest.mark.slow
def test_a_terminal_that_is_closed_ends_a_campaign_in_order(grid: Path, tmp_path: Path, digits_dir: Path) -> None:
    """As ssh does when the line breaks: SIGHUP, and nobody reads or writes any more."""
    out = tmp_path / "campaign"
    grid.write_text(ENDLESS)
    module, *arguments = commands.submit_command(grid, out, digits_dir)
    pid, terminal = os.forkpty()
    if not pid:
        os.chdir(commands.ROOT)
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # nohup, under which the tests may run, ignores it
        os.execv(sys.executable, [sys.executable, "-m", module, *map(str, arguments)])
    wait_for(lambda: out.exists() and run_ids(out))
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 130
    assert processes(out) == {}
    assert json.loads((out / "submissions/0001/submission.json").read_text())["is_interrupted"]


@pytest.mark.slow
def test_two_submits_at_once_do_every_run_once_and_a_killed_worker_is_followed_by_another_attempt(
    grid: Path, tmp_path: Path, digits_dir: Path
) -> None:
    out = tmp_path / "campaign"
    both = [commands.start(*commands.submit_command(grid, out, digits_dir)) for _ in range(2)]
    os.kill(wait_for(lambda: Campaign(out).shard_paths() and workers(out)).pop(), signal.SIGKILL)
    said = []
    for process in both:
        stdout, stderr = process.communicate(timeout=120)
        said.append(stdout)
        assert process.returncode == 0, stderr
    assert "8 of 8 runs done" in "".join(said)
    assert len(run_ids(out)) == len(set(run_ids(out))) == 8
    assert submissions.numbers(Campaign(out)) == [1]
    assert any(path.name.split("-")[2] == "1" for path in Campaign(out).shard_paths())  # attempt 1


def test_one_gpu_is_not_shared_by_local_workers(grid: Path, tmp_path: Path, digits_dir: Path) -> None:
    grid.write_text(GRID + "use_cuda: true\n")
    refused = submit(grid, tmp_path / "campaign", digits_dir)
    assert refused.returncode == 2
    assert refused.stderr == "error: max_workers: 2 with use_cuda: true; allowed: 1, since local workers share one GPU\n"
    assert not (tmp_path / "campaign").exists()


def test_an_output_dir_that_is_a_file_is_refused(grid: Path, digits_dir: Path) -> None:
    refused = submit(grid, grid, digits_dir)
    assert refused.returncode == 2
    assert refused.stderr.startswith(f"error: {grid}")
    assert "Traceback" not in refused.stderr


def test_missing_data_are_refused_before_anything_is_written(grid: Path, tmp_path: Path) -> None:
    nowhere = tmp_path / "file"
    nowhere.write_text("")
    refused = submit(grid, tmp_path / "campaign", nowhere)
    assert refused.returncode == 2
    assert refused.stderr.startswith("error: dataset digits: files are missing in ")
    assert "--data-dir" in refused.stderr
    assert not (tmp_path / "campaign").exists()


@pytest.mark.parametrize("options", [["--limit", "0"], ["--limit", "x"], ["--executor", "pbs"], ["--frobnicate"]])
def test_wrong_options_are_refused(grid: Path, tmp_path: Path, digits_dir: Path, options: list[str]) -> None:
    refused = submit(grid, tmp_path / "campaign", digits_dir, *options)
    assert refused.returncode == 2
    assert refused.stderr.splitlines()[-1].startswith("noisy submit: error:")


@pytest.mark.slow
def test_an_edited_manifest_is_noticed_and_written_anew(grid: Path, done_before: Path, digits_dir: Path) -> None:
    manifest = done_before / "manifest.jsonl"
    whole = manifest.read_text()
    manifest.write_text(whole.replace('"p":0.5', '"p":0.9'))
    again = submit(grid, done_before, digits_dir)
    assert (again.returncode, "Nothing to submit: 8 of 8 runs done." in again.stdout) == (0, True)
    assert re.search(r"warning: .*manifest.jsonl: line \d+: the record was changed", again.stderr)
    assert manifest.read_text().splitlines()[1:] == [line for line in whole.splitlines()[1:] if '"repeat":2' not in line]
