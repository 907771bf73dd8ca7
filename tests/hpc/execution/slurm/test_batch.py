"""What reaches sbatch, and what becomes of arrays whose submitter died: real scripts of submitit, small programs on PATH."""

from dataclasses import replace
from pathlib import Path

import pytest
import submitit

from hpc.execution.slurm import batch
from hpc.execution.slurm.batch import adopt_orphans, input_of, output_of, rehearse, submit_arrays
from hpc.planning.tasks import Plan, plan
from hpc.planning.workers import PlannedArray, Resources
from hpc.state import submissions
from hpc.state.scheduler import SchedulerError
from hpc.state.submissions import Submission
from jobs.campaign import Campaign
from jobs.taskfile import Task
from noisy.spec import Execution
from tests.programs import programs
from tests.specs import runs, spec

TASKS = [Task(i, "c0ffee", "abc", "/data", Execution(), runs(spec(repeat=i))) for i in range(5)]
PLAN = Plan(plan(runs(*(spec(repeat=i) for i in range(5))), 3, Execution(), runs_per_task=1).tasks, 3, Execution())
ARRAYS = [
    PlannedArray(range(3), Resources(2, 0, 1000, 10), parallel=2),
    PlannedArray(range(3, 5), Resources(1, 1, 1049, 20), parallel=1, after=0),
]
SBATCH = """
folder=$(dirname "$0"); n=$(ls "$folder" | grep -c '^script')
cp "${@: -1}" "$folder/script$n"; echo "Submitted batch job $((17 + n))"
"""


@pytest.fixture
def campaign(tmp_path: Path) -> Campaign:
    made = Campaign(tmp_path / "campaign")
    made.submissions.mkdir(parents=True)
    return made


def claimed(campaign: Campaign, waits_for: str | None = None) -> Submission:
    arrays = submissions.arrays_of("c0ffee", 1, ARRAYS, waits_for)
    submission = Submission.by_this_process(1, "c0ffee", "slurm", PLAN, arrays=arrays)
    submissions.claim(campaign, submission, TASKS)
    return submission


def lines(script: Path) -> set[str]:
    """The options of a script, without #SBATCH."""
    return {line.removeprefix("#SBATCH ") for line in script.read_text().splitlines() if line.startswith("#SBATCH")}


def test_what_is_asked_of_sbatch(campaign: Campaign, tmp_path: Path) -> None:
    submission = claimed(campaign, waits_for="9")
    with programs(tmp_path / "bin", sbatch=SBATCH, srun="true"):
        done = submit_arrays(campaign, submission, [None, 0], {"partition": "cpu", "exclusive": False, "mem": "1G"})
    first, second = (lines(tmp_path / "bin" / f"script{n}") for n in (0, 1))
    asked = {"--time=10", "--mem=954M", "--cpus-per-task=2", "--array=0-2%2", "--dependency=afterany:9", "--partition=cpu"}
    assert asked | {"--signal=B:USR2@60", "--requeue", "--job-name=c0ffee-0001-00"} <= first
    others = {"--time=20", "--mem=1001M", "--cpus-per-task=1", "--array=0-1%1", "--dependency=afterany:17", "--gres=gpu:1"}
    assert others | {"--job-name=c0ffee-0001-01"} <= second
    assert not any("exclusive" in line for line in first | second)
    assert [(array.job_id, array.waits_for) for array in done.arrays] == [("17", "9"), ("18", "17")]
    assert submissions.read(campaign, 1) == done


def test_each_id_is_on_disk_before_the_next_array(campaign: Campaign, tmp_path: Path) -> None:
    submission = claimed(campaign)
    second_fails = SBATCH.replace("cp ", '[ $n = 1 ] && { echo "sbatch: error: no room" >&2; exit 1; }; cp ')
    with programs(tmp_path / "bin", sbatch=second_fails, srun="true"), pytest.raises(SchedulerError, match="no room"):
        submit_arrays(campaign, submission, [None, 0], {})
    assert [array.job_id for array in submissions.read(campaign, 1).arrays] == ["17", None]


def queue_of(*names: str) -> str:
    rows = "".join(f"{17 + i}|{index}|PENDING|None|{name}\\n" for i, name in enumerate(names) for index in (0, 1))
    return f"printf '{rows}'"


def orphaned(campaign: Campaign, is_alive: bool = False) -> Submission:
    submission = claimed(campaign)
    if not is_alive:
        submission = replace(submission, process=replace(submission.process, start_ticks=1))
        submissions.write(campaign, submission)
    return submission


def test_an_orphan_with_its_inputs_is_adopted(campaign: Campaign, tmp_path: Path) -> None:
    submission = orphaned(campaign)
    logs = campaign.submission(1) / "logs"
    for job in ("17_0", "17_1", "17_2"):
        input_of(logs, job).write_bytes(b"")
    with programs(tmp_path / "bin", squeue=queue_of("c0ffee-0001-00"), scancel=f"touch {tmp_path}/cancelled"):
        adopt_orphans(campaign)
    assert [array.job_id for array in submissions.read(campaign, 1).arrays] == ["17", None]
    assert not (tmp_path / "cancelled").exists()
    assert submission.arrays[0].job_id is None


def test_an_orphan_without_its_inputs_is_cancelled(campaign: Campaign, tmp_path: Path) -> None:
    orphaned(campaign)
    squeue = f"[ -e {tmp_path}/cancelled ] || {queue_of('c0ffee-0001-00')}"
    with programs(tmp_path / "bin", squeue=squeue, scancel=f'echo "$@" > {tmp_path}/cancelled'):
        adopt_orphans(campaign)
    assert (tmp_path / "cancelled").read_text() == "17\n"


def test_the_arrays_of_a_living_submit_are_its_own(campaign: Campaign, tmp_path: Path) -> None:
    orphaned(campaign, is_alive=True)
    with programs(tmp_path / "bin", squeue=queue_of("c0ffee-0001-00"), scancel=f"touch {tmp_path}/cancelled"):
        adopt_orphans(campaign)
    assert [array.job_id for array in submissions.read(campaign, 1).arrays] == [None, None]
    assert not (tmp_path / "cancelled").exists()


def test_jobs_that_do_not_end_are_asked_for_a_few_times_and_then_named(campaign: Campaign, tmp_path: Path) -> None:
    orphaned(campaign)
    squeue = f"echo >> {tmp_path}/asked; {queue_of('c0ffee-0001-00')}"
    still_there = pytest.raises(SchedulerError, match="jobs 17 were cancelled 0 s ago and are still in the queue; try again")
    with programs(tmp_path / "bin", squeue=squeue, scancel="true"), still_there:
        adopt_orphans(campaign, pauses_s=(0.01, 0.02, 0.04))
    assert (tmp_path / "asked").read_text().count("\n") == 1 + 3
    assert sum(batch.LOOK_AGAIN_S) > 60


def test_a_rehearsal_hands_the_same_script_to_sbatch(campaign: Campaign, tmp_path: Path) -> None:
    answer = "sbatch: Job 1 to start at 2026-01-01T00:00:00"
    sbatch = f'cat > "$(dirname "$0")/script"; echo "{answer}" >&2'
    arrays = submissions.arrays_of("rehearsal", 0, ARRAYS[:1], None)
    with programs(tmp_path / "bin", sbatch=sbatch, srun="true"):
        ((array, said, is_accepted),) = rehearse(campaign, arrays, {})
    assert (array, said, is_accepted) == (arrays[0], answer, True)
    assert {"--array=0-2%2", "--mem=954M"} <= lines(tmp_path / "bin" / "script")
    assert not (campaign.folder / "submissions" / "0000").exists()


def test_submitit_is_as_it_was(tmp_path: Path) -> None:
    """All that is used of submitit's insides, beside what its documentation promises: another version may have changed it."""
    version = f"submitit {submitit.__version__} has changed what hpc/execution/slurm/batch.py relies on"
    with programs(tmp_path / "bin", srun="true", sbatch=SBATCH):
        executors = [submitit.SlurmExecutor(tmp_path / "logs", max_num_timeout=10, python="exec python") for _ in range(2)]
        assert hasattr(executors[0], "_make_submission_file_text"), version
        for executor in executors:
            executor.update_parameters(job_name="x", time=5, array_parallelism=2, stderr_to_stdout=True, use_srun=False)
        assert "#SBATCH --array=0-2%2" in batch.script_of(executors[0], 3), version
        with executors[1].batch():
            jobs = [executors[1].submit(abs, -1) for _ in range(2)]
    logs, last = tmp_path / "logs", (tmp_path / "bin" / "script0").read_text().strip().splitlines()[-1]
    assert last.startswith("exec python -u -m submitit.core._submit "), version
    assert [job.job_id for job in jobs] == ["17_0", "17_1"], version
    assert all(input_of(logs, job.job_id) == job.paths.submitted_pickle for job in jobs), version
    assert all(input_of(logs, job.job_id).exists() for job in jobs), version
    assert output_of(logs, "17_0") == jobs[0].paths.stdout, version
