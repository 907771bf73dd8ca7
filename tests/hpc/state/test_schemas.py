"""Campaigns of earlier versions are read and carried on; files of newer versions are refused in a clear sentence."""

import json
import shutil
from pathlib import Path

import pytest

from hpc.execution.choice import EXECUTORS
from hpc.planning.retrying import Outcome, Reason
from hpc.state import outcomes, submissions
from hpc.state.runs import State, state
from jobs.campaign import Campaign
from jobs.manifest import ManifestError, read_manifest
from tests import commands
from tests.hpc.execution.slurm.test_programs import SACCTMGR, SCONTROL, SINFO
from tests.programs import programs, sacct, squeue

KEPT = Path(__file__).parent / "schema_1"  # written by the code before files had numbers; two submissions, one on Slurm
KEPT_2 = Path(__file__).parent / "schema_2"  # before workers claimed tasks; of the second submission, on Slurm, a task is done


@pytest.fixture
def campaign(tmp_path: Path) -> Campaign:
    return Campaign(Path(shutil.copytree(KEPT, tmp_path / "campaign")))


def look(campaign: Campaign) -> State:
    manifest = read_manifest(campaign.manifest)
    return state(campaign, manifest.header.campaign, manifest.runs, EXECUTORS, write=True)


def test_a_campaign_of_version_1_is_read(campaign: Campaign) -> None:
    seen = look(campaign)
    assert {name: seen.count(name) for name in ("done", "failed", "cancelled")} == {"done": 5, "failed": 2, "cancelled": 1}
    assert [outcome.reason for outcome in seen.outcomes] == [Reason.TIME, Reason.MEMORY, Reason.CANCELLED]
    assert seen.unreachable == ""


def test_a_campaign_of_version_1_is_written_as_of_this_version(campaign: Campaign) -> None:
    before = look(campaign)
    submissions.write(campaign, submissions.read(campaign, 2))
    outcomes.write(campaign, 2, before.outcomes)
    assert json.loads((campaign.submission(2) / "submission.json").read_text())["schema"] == submissions.SCHEMA_VERSION
    assert look(campaign).outcomes == before.outcomes


@pytest.mark.slow
def test_a_campaign_of_version_1_is_carried_on(campaign: Campaign, digits_dir: Path) -> None:
    done = commands.submit(campaign.grid, campaign.folder, digits_dir)
    assert done.returncode == 0, done.stderr
    assert "3 of 3 runs done, 0 failed." in done.stdout
    assert look(campaign).count("done") == 8
    assert commands.call("analysis.report", "--no-figures", "--output-dir", campaign.folder).returncode == 0


@pytest.fixture
def queued(tmp_path: Path) -> Campaign:
    return Campaign(Path(shutil.copytree(KEPT_2, tmp_path / "campaign")))


def test_elements_of_version_2_have_tasks_of_their_own(queued: Campaign) -> None:
    name = submissions.read(queued, 2).arrays[0].name
    rows = [f"17|1|RUNNING|None|{name}", f"17|2|PENDING|Priority|{name}"]
    with programs(queued.folder / "bin", squeue=squeue(*rows), sacct=sacct()):
        seen = look(queued)
    assert {state: seen.count(state) for state in ("done", "queued")} == {"done": 4, "queued": 4}
    with programs(queued.folder / "bin", squeue=squeue(rows[1]), sacct=sacct("17_1|OUT_OF_MEMORY|0:125|n1")):
        seen = look(queued)
    assert {state: seen.count(state) for state in ("done", "queued", "lost")} == {"done": 4, "queued": 2, "lost": 2}
    (outcome,) = seen.outcomes
    assert (outcome.task, outcome.job, outcome.reason) == (1, "17_1", Reason.MEMORY)


def test_a_campaign_of_version_2_is_carried_on(queued: Campaign, digits_dir: Path) -> None:
    scripts = {"sbatch": "echo Submitted batch job 18", "srun": "true", "scontrol": SCONTROL, "sinfo": SINFO}
    where = ("--grid", queued.grid, "--output-dir", queued.folder, "--data-dir", digits_dir, "--executor", "slurm")
    with programs(queued.folder / "bin", **scripts, sacctmgr=SACCTMGR, squeue=squeue(), sacct=sacct()):
        submitted = commands.call("hpc.submit", *where, "--no-calibrate")
    assert submitted.returncode == 0, submitted.stderr
    assert "4 to run; 4 of the grid's 8 are done" in submitted.stdout
    assert submissions.read(queued, 2).ended
    assert submissions.read(queued, 3).n_runs == 4


@pytest.mark.parametrize("name", ["submission.json", "tasks.jsonl", "outcomes.jsonl"])
def test_a_newer_version_is_refused(campaign: Campaign, name: str) -> None:
    path = campaign.submission(2) / name
    first = '"task":' if name == "tasks.jsonl" else '"number":' if name == "submission.json" else '"task":'
    text = path.read_text()
    at = text.index(first) if name != "tasks.jsonl" else text.index(",") + 1
    path.write_text(text[:at] + '"schema":99,' + text[at:])
    known = 2 if name == "outcomes.jsonl" else 3
    with pytest.raises(ManifestError, match=f"{name}: schema 99, and this version of the code reads up to {known}; update"):
        look(campaign)


def test_outcomes_are_read_as_they_were_written(campaign: Campaign) -> None:
    written = [
        Outcome(task, f"{task:016x}", reason, reason.value.lower(), "n1", f"17_{task}", 1000.5, 10)
        for task, reason in enumerate(Reason)
    ]
    outcomes.write(campaign, 2, written)
    assert outcomes.read(campaign, 2, lambda said: Reason.UNKNOWN) == (written, [])
    first = json.loads(campaign.outcomes(2).read_text().splitlines()[0])
    assert (first["schema"], first["reason"], first["said"], first["node"]) == (2, "MEMORY", "memory", "n1")
    campaign.outcomes(2).unlink()
    assert outcomes.read(campaign, 2, lambda said: Reason.UNKNOWN) == ([], [])


@pytest.mark.parametrize("damage", ["", "{}", "[]", "{", '{"task": 0}', "null", "\\", "[" * 10**5, "9" * 10**4, '"\\ud800"'])
@pytest.mark.parametrize("name", ["submission.json", "outcomes.jsonl", "tasks.jsonl", "cancelled-ab.txt"])
def test_a_damaged_file_is_named(campaign: Campaign, name: str, damage: str) -> None:
    (campaign.submission(2) / name).write_text(damage)
    with programs(campaign.folder / "bin", squeue=squeue(), sacct=sacct()):
        seen = look(campaign)
    (problem,) = seen.problems
    assert problem.startswith(f"{campaign.submission(2) / name}: ")
    assert len(problem) < 600
    assert seen.count("done") == 5


def test_lines_of_outcomes_that_can_be_read_are_used(campaign: Campaign) -> None:
    before = look(campaign)
    with campaign.outcomes(2).open("ab") as file:
        file.write(b'{"schema":2,"task":7,"run_id":"ab')  # torn
    after = look(campaign)
    assert after.outcomes == before.outcomes
    assert [problem.partition(" cannot")[0] for problem in after.problems] == [f"{campaign.outcomes(2)}: line 4:"]


@pytest.mark.parametrize("name", ["submission", "outcomes", "tasks"])
def test_a_file_nested_too_deeply_is_named(campaign: Campaign, name: str) -> None:
    """Python's reader of JSON then raises another kind of error than for other damages."""
    [path] = campaign.folder.glob(f"submissions/0002/{name}.json*")
    path.write_text("[" * 100_000)
    assert any(problem.startswith(f"{path}: ") for problem in look(campaign).problems)


def test_fields_of_others_are_left_out(campaign: Campaign) -> None:
    path = campaign.submission(2) / "submission.json"
    record = json.loads(path.read_text())
    record["arrays"][0]["resources"]["colour"] = record["colour"] = "blue"
    path.write_text(json.dumps(record))
    assert submissions.read(campaign, 2).arrays[0].resources.cpus == 1


def test_a_submit_leaves_the_manifest_of_a_newer_version_alone(campaign: Campaign, digits_dir: Path) -> None:
    text = campaign.manifest.read_text().replace('"schema":1', '"schema":99')
    campaign.manifest.write_text(text)
    refused = commands.submit(campaign.grid, campaign.folder, digits_dir)
    assert refused.returncode == 2
    assert "manifest.jsonl: schema 99, and this version of the code reads up to 1; update the code" in refused.stderr
    assert campaign.manifest.read_text() == text
