"""`noisy redo`: real trainings are done again and compared; nothing is lost; a record that was changed by hand is found."""

import shlex
import shutil
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from subprocess import CompletedProcess, Popen

import numpy as np
import pytest

from hpc.state import submissions
from jobs.campaign import Campaign
from jobs.files import publish
from jobs.image import image
from jobs.recorded import Recorded
from jobs.shard import read_shard
from jobs.typed import form
from tests import commands
from tests.campaigns import GRID, made_once, table
from tests.hpc.execution.slurm.test_programs import SACCTMGR, SCONTROL, SINFO
from tests.processes import wait_for
from tests.programs import programs, sacct, squeue

pytestmark = pytest.mark.slow
LONGER = GRID.replace("epochs: 1", "epochs: 6").replace("max_workers: 2", "max_workers: 1")


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, digits_dir: Path) -> Path:
    """A campaign of 8 runs that are done, to be copied."""

    def make(folder: Path) -> None:
        (folder / "grid.yaml").write_text(LONGER)
        done = commands.run(*commands.submit_command(folder / "grid.yaml", folder / "campaign", digits_dir))
        assert done.returncode == 0, done.stderr

    return made_once(tmp_path_factory, "trained", make) / "campaign"


@pytest.fixture
def campaign(trained: Path, tmp_path: Path) -> Campaign:
    return Campaign(Path(shutil.copytree(trained, tmp_path / "campaign")))


@pytest.fixture
def redo(campaign: Campaign) -> Callable[..., CompletedProcess]:
    return lambda *words: commands.call("hpc.redo", campaign.folder, "--executor", "local", *words)


def forge(campaign: Campaign, path: Path, change: int = -3) -> str:
    """Change one record of a shard by hand, in all of its numbers, with the right checksums; returns its run_id."""
    shard = read_shard(path)
    records = [shard.record(i) for i in range(len(shard.runs))]
    was = records[1]
    bits, history = np.unpackbits(was.correct, count=was.n_test), was.history.copy()
    bits[np.flatnonzero(bits == (change < 0))[: abs(change)]] ^= 1
    n_correct = int(bits.sum())
    history[2, -1] = n_correct / was.n_test
    records[1] = replace(
        was, n_correct=n_correct, test_accuracy=n_correct / was.n_test, correct=np.packbits(bits), history=history
    )
    assert n_correct == was.n_correct + change
    publish(path, image(records, shard.attributes))
    assert not read_shard(path).damaged
    return was.run_id


def recorded(campaign: Campaign) -> Recorded:
    return Recorded("").updated(campaign.shard_paths())


def n_again(campaign: Campaign, submission: int) -> int:
    """How many records a submission has made."""
    return len(Recorded("").updated(campaign.shard_paths(f"{submission:04d}-")).records)


def begun(campaign: Campaign, submission: int, *words: str) -> Popen:
    """The process of a redo that has made its first record."""
    process = commands.start("hpc.redo", campaign.folder, "--executor", "local", *words)
    wait_for(lambda: n_again(campaign, submission))
    return process


def test_a_record_that_was_changed_by_hand_is_found_by_a_sample_that_has_it(
    campaign: Campaign, redo: Callable[..., CompletedProcess]
) -> None:
    (shard,) = campaign.shard_paths()
    run_id = forge(campaign, shard)
    done = redo("--sample", 7, "--seed", 1)  # leaves out one of 8
    assert done.returncode == 1
    assert "redo 0002 (--sample 7 --seed 1): 7 of 7 runs trained again\n  6 agree bit by bit\n" in done.stdout
    assert "  1 differs though their machines are equal\n" in done.stdout
    (named,) = (line for line in done.stdout.splitlines() if line.startswith("  run "))
    assert run_id in named and f" in {shard.name}; accuracy " in named and "(ok) in 0002-00000-0-" in named
    assert redo("--sample", 7).stdout == "".join(done.stdout.partition("redo 0002")[1:])
    reported = commands.call("analysis.report", "--no-figures", campaign.folder)
    assert (reported.returncode, f"run {run_id}: records from equal machines differ" in reported.stderr) == (1, True)


def test_a_redo_that_is_cancelled_or_interrupted_goes_on_until_all_agree_bit_by_bit_and_nothing_is_changed(
    campaign: Campaign, redo: Callable[..., CompletedProcess]
) -> None:
    files = {path: path.read_bytes() for path in campaign.shard_paths()}
    results, grid, manifest = table(campaign.folder), campaign.grid.read_bytes(), campaign.manifest.read_bytes()
    looked = redo("--dry-run")
    assert "runs       8 to run; 0 of the redo's 8 are done\n" in looked.stdout and campaign.shard_paths() == list(files)
    process = begun(campaign, 2)
    at_work = commands.call("hpc.status", campaign.folder)
    assert " at work or waiting; a redo of all that is done\n" in at_work.stdout
    cancelled = commands.call("hpc.cancel", campaign.folder, "--yes")
    out, _ = process.communicate(timeout=60)
    assert cancelled.stdout.startswith("Cancelled ")
    assert process.returncode == 1 and "The same command goes on with what is missing" in out
    n_first = n_again(campaign, 2)
    assert 0 < n_first < 8 and len(recorded(campaign).records) == 8 + n_first
    status = commands.call("hpc.status", campaign.folder)
    assert (status.returncode, "  done             8  100.0 %\n" in status.stdout) == (0, True)

    done = redo()
    assert (done.returncode, done.stderr) == (0, "")
    assert f"runs       {8 - n_first} to run; {n_first} of the redo's 8 are done\n" in done.stdout
    assert done.stdout.endswith("redo 0002 (all that is done): 8 of 8 runs trained again\n  8 agree bit by bit\n")
    assert len(recorded(campaign).records) == 16
    assert [submissions.read(campaign, number).redo for number in (1, 2, 3)] == [0, 2, 2]
    again = redo()
    assert again.stdout == "redo 0002 (all that is done): 8 of 8 runs trained again\n  8 agree bit by bit\n"
    assert submissions.numbers(campaign) == [1, 2, 3]

    process = begun(campaign, 4, "--again", "p=0.0")
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    n_first = n_again(campaign, 4)
    assert process.returncode == 130 and 0 < n_first < 4
    interrupted = f"Interrupted. What is done is kept. To go on: {form('redo', 'hpc.redo', '', sys.executable)} "
    typed_again = shlex.split(said.partition(interrupted)[2])
    assert typed_again == [str(campaign.folder), "--executor", "local", "p=0.0"], "goes on with the new redo"
    done = commands.call("hpc.redo", *typed_again)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"runs       {4 - n_first} to run; {n_first} of the redo's 4 are done\n" in done.stdout
    assert done.stdout.endswith("redo 0004 (p=0.0): 4 of 4 runs trained again\n  4 agree bit by bit\n")
    assert {submissions.read(campaign, number).redo for number in (4, 5)} == {4}
    assert {path: path.read_bytes() for path in files} == files and campaign.replaced_paths() == []
    assert (table(campaign.folder), campaign.grid.read_bytes(), campaign.manifest.read_bytes()) == (results, grid, manifest)
    submitted = commands.submit(campaign.grid, campaign.folder, campaign.folder.parent / "no data")
    assert "Nothing to submit: 8 of 8 runs done" in submitted.stdout
    assert commands.call("hpc.status", campaign.folder).returncode == 0


def test_the_new_records_count_if_that_is_asked_and_the_old_ones_are_kept_also_after_a_kill(
    campaign: Campaign, redo: Callable[..., CompletedProcess]
) -> None:
    (shard,) = campaign.shard_paths()
    results = table(campaign.folder)
    forge(campaign, shard, 2)  # as if by earlier code
    old, forged = shard.read_bytes(), table(campaign.folder)
    assert forged != results
    process = begun(campaign, 2, "--replace")
    process.kill()
    process.communicate(timeout=60)
    n_first = n_again(campaign, 2)
    assert 0 < n_first < 8 and table(campaign.folder) == forged, "no new record counts before all are there"
    done = redo("--replace")
    assert done.returncode == 0, done.stderr
    assert f"runs       {8 - n_first} to run; {n_first} of the redo's 8 are done\n" in done.stdout
    assert "8 of 8 runs trained again\n  7 agree bit by bit\n" in done.stdout
    place = campaign.replaced(2)
    kept = f"8 earlier records do not count any more. The shards with the old records are kept in {place}"
    assert done.stdout.splitlines()[-1] == f"The new records count. {kept}"
    assert [path.read_bytes() for path in place.iterdir()] == [old]
    assert len(recorded(campaign).records) == 8 and not shard.exists()
    assert table(campaign.folder) == results
    again = redo("--replace")
    assert again.stdout.splitlines()[-1] == "The new records count; there are no others."
    assert again.returncode == 0 and [submissions.read(campaign, number).redo for number in (1, 2, 3)] == [0, 2, 2]
    assert redo("p=0.5", "repeat=0").stdout.endswith("2 agree bit by bit\n"), "and they can be checked like any others"


def test_a_scheduler_gets_a_redo_and_the_same_command_looks_at_it(campaign: Campaign, tmp_path: Path) -> None:
    def on_slurm(module: str, *words: object, queue: str = squeue()) -> CompletedProcess:
        scripts = {
            "sbatch": "echo Submitted batch job 17",
            "srun": "true",
            "squeue": queue,
            "sacct": sacct(),
            "scancel": "true",
        }
        with programs(tmp_path / "bin", **scripts, scontrol=SCONTROL, sinfo=SINFO, sacctmgr=SACCTMGR):
            return commands.call(module, campaign.folder, *words)

    handed = on_slurm("hpc.redo", "--sample", 5)
    assert (handed.returncode, handed.stderr) == (0, "")
    assert "submitted as 17" in handed.stdout
    assert handed.stdout.endswith("When it has ended, the same command gives the answer.\n")
    submission = submissions.read(campaign, 2)
    assert (submission.executor, submission.redo, submission.n_runs) == ("slurm", 2, 5)
    at_work = squeue(f"17|N/A|RUNNING|None|{submission.arrays[0].name}")
    looked = on_slurm("hpc.redo", "--sample", 5, queue=at_work)
    first, last = looked.stdout.splitlines()
    assert first == f"redo 0002 ({submission.asked}): 0 of 5 runs trained again, 5 at work or waiting"
    assert (last, looked.returncode) == ("The same command goes on with what is missing, and gives the answer.", 0)
    assert submissions.numbers(campaign) == [1, 2]
    assert "a redo of --sample 5 --seed " in on_slurm("hpc.status", queue=at_work).stdout
    cancelled = on_slurm("hpc.cancel", "--yes", queue=at_work)
    assert cancelled.stdout.startswith("Cancelled 5 runs, and 1 worker with nothing left to do.")


REFUSED = {
    ("--replace", "--sample", 3): (2, "--replace: not with --sample"),
    ("--seed", 3): (2, "--seed: only with --sample"),
    ("--join", 1): (2, "--join: only of noisy submit"),
    ("--sample", 0): (2, "allowed: an integer of at least 1"),
    ("--test-only",): (2, "--test-only: only with --executor slurm"),
    ("activatoin=tanh",): (2, "meant: activation?"),
    ("p=0.7",): (2, "no run has p=0.7; allowed: 0.0, 0.5"),
}


@pytest.mark.parametrize("words", REFUSED, ids=repr)
def test_what_is_not_possible_is_refused_and_nothing_is_written(
    words: tuple, redo: Callable[..., CompletedProcess], campaign: Campaign
) -> None:
    done = redo(*words)
    status, said = REFUSED[words]
    assert (done.returncode, said in done.stderr) == (status, True), done.stderr
    assert submissions.numbers(campaign) == [1]


def test_what_is_not_done_is_not_done_again(tmp_path: Path, finished: Campaign) -> None:
    campaign = Campaign(Path(shutil.copytree(finished.folder, tmp_path / "campaign")))
    looked = commands.call("hpc.redo", campaign.folder, "--executor", "local", "--dry-run")
    assert "runs       8 to run; 0 of the redo's 8 are done\n" in looked.stdout, "of 12"
    for path in campaign.shard_paths():
        path.unlink()
    nothing = commands.call("hpc.redo", campaign.folder, "--executor", "local")
    assert nothing.returncode == 1
    assert nothing.stdout == "Nothing to train again: none of these runs is done (0 of the campaign's runs are).\n"
