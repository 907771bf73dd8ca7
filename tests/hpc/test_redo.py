"""`noisy redo`: real trainings are done again and compared; nothing is lost; a record that was changed by hand is found."""

import shlex
import shutil
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest

from hpc.console import count
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


def test_a_redo_that_is_interrupted_goes_on_until_all_agree_bit_by_bit_and_nothing_is_changed(
    campaign: Campaign, redo: Callable[..., CompletedProcess]
) -> None:
    def begun() -> bool:
        return bool(Recorded("").updated(campaign.shard_paths("0002-")).records.size)

    files = {path: path.read_bytes() for path in campaign.shard_paths()}
    results, grid, manifest = table(campaign.folder), campaign.grid.read_bytes(), campaign.manifest.read_bytes()
    looked = redo("--dry-run")
    assert "runs       8 to run; 0 of the redo's 8 are done\n" in looked.stdout and campaign.shard_paths() == list(files)
    process = commands.start("hpc.redo", campaign.folder, "--executor", "local")
    wait_for(begun)
    at_work = commands.call("hpc.status", campaign.folder)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert (
        process.returncode,
        f"Interrupted. What is done is kept. To go on: {form('redo', 'hpc.redo', '', sys.executable)} " in said,
    ) == (130, True)
    assert " at work or waiting; a redo of all that is done\n" in at_work.stdout
    status = commands.call("hpc.status", campaign.folder)
    assert (status.returncode, "  done             8  100.0 %\n" in status.stdout) == (0, True)

    n_first = len(Recorded("").updated(campaign.shard_paths("0002-")).records)
    done = redo()
    assert (done.returncode, done.stderr) == (0, "")
    assert f"runs       {8 - n_first} to run; {n_first} of the redo's 8 are done\n" in done.stdout
    assert done.stdout.endswith("redo 0002 (all that is done): 8 of 8 runs trained again\n  8 agree bit by bit\n")
    assert len(recorded(campaign).records) == 16
    assert [submissions.read(campaign, number).redo for number in (1, 2, 3)] == [0, 2, 2]
    assert {path: path.read_bytes() for path in files} == files
    assert (table(campaign.folder), campaign.grid.read_bytes(), campaign.manifest.read_bytes()) == (results, grid, manifest)

    again = redo()
    assert again.stdout == "redo 0002 (all that is done): 8 of 8 runs trained again\n  8 agree bit by bit\n"
    assert submissions.numbers(campaign) == [1, 2, 3]
    assert redo("--again", "p=0.5", "repeat=0").stdout.splitlines()[-2:] == [
        "redo 0004 (p=0.5 repeat=0): 2 of 2 runs trained again",
        "  2 agree bit by bit",
    ]
    submitted = commands.submit(campaign.grid, campaign.folder, campaign.folder.parent / "no data")
    assert "Nothing to submit: 8 of 8 runs done" in submitted.stdout
    assert commands.call("hpc.status", campaign.folder).returncode == 0


@pytest.mark.parametrize("words", [["--replace"], ["--again", "p=0.0"]], ids=str)
def test_a_redo_that_was_killed_goes_on_when_it_is_typed_again(
    words: list[str], campaign: Campaign, redo: Callable[..., CompletedProcess]
) -> None:
    results, n_runs = table(campaign.folder), {"--replace": 8, "--again": 4}[words[0]]
    process = commands.start("hpc.redo", campaign.folder, "--executor", "local", *words)
    wait_for(lambda: Recorded("").updated(campaign.shard_paths("0002-")).records.size)
    process.send_signal(signal.SIGINT if "--again" in words else signal.SIGKILL)
    _, said = process.communicate(timeout=60)
    n_first = len(Recorded("").updated(campaign.shard_paths("0002-")).records)
    assert 0 < n_first < n_runs
    if "--again" in words:
        _, _, module, *typed_again = shlex.split(said.partition("To go on: ")[2])
        assert (module, typed_again) == ("hpc.redo", [str(campaign.folder), "--executor", "local", "p=0.0"])
        done = commands.call("hpc.redo", *typed_again)
    else:
        done = redo(*words)
    assert f"runs       {n_runs - n_first} to run; {n_first} of the redo's {n_runs} are done\n" in done.stdout
    assert f"{n_runs} of {count(n_runs, 'run')} trained again\n  {n_runs} agree bit by bit\n" in done.stdout
    assert done.returncode == 0 and {submissions.read(campaign, number).redo for number in (2, 3)} == {2}
    assert len(campaign.replaced_paths()) == (words[0] == "--replace")
    assert table(campaign.folder) == results


def test_a_redo_can_be_cancelled_and_all_stays_done(campaign: Campaign) -> None:
    process = commands.start("hpc.redo", campaign.folder, "--executor", "local")
    wait_for(lambda: Recorded("").updated(campaign.shard_paths("0002-")).records.size)
    cancelled = commands.call("hpc.cancel", campaign.folder, "--yes")
    out, _ = process.communicate(timeout=60)
    assert cancelled.stdout.startswith("Cancelled ")
    assert process.returncode == 1 and "The same command goes on with what is missing" in out
    assert len(recorded(campaign).records) < 16
    assert commands.call("hpc.status", campaign.folder).returncode == 0


def test_the_new_records_count_if_that_is_asked_and_the_old_ones_are_kept(
    campaign: Campaign, redo: Callable[..., CompletedProcess]
) -> None:
    (shard,) = campaign.shard_paths()
    results = table(campaign.folder)
    forge(campaign, shard, 2)  # as if by earlier code
    old, forged = shard.read_bytes(), table(campaign.folder)
    assert forged != results
    done = redo("--replace")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-4] == "  7 agree bit by bit"
    place = campaign.replaced(2)
    kept = f"8 earlier records do not count any more. The shards with the old records are kept in {place}"
    assert done.stdout.splitlines()[-1] == f"The new records count. {kept}"
    assert [path.read_bytes() for path in place.iterdir()] == [old]
    assert len(recorded(campaign).records) == 8 and not shard.exists()
    assert table(campaign.folder) == results
    again = redo("--replace")
    assert again.stdout.splitlines()[-1] == "The new records count; there are no others."
    assert (again.returncode, submissions.numbers(campaign)) == (0, [1, 2])
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
