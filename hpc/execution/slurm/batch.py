"""Job arrays with submitit's scripts: submit them, rehearse them, and find those whose submitting process died.

Before sbatch is called, everything that workers need is on disk under the name of their array. So nothing depends on the job id
that sbatch prints. Only this module uses submitit's internals. If another version changes them, a
test fails and says so.
"""

import math
import re
import shlex
import shutil
import sys
import textwrap
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from hpc.console import Refused
from hpc.execution.slurm import programs
from hpc.execution.slurm.calling import call
from hpc.execution.slurm.options import Options, for_script, memory_for_script, what_to_change
from hpc.state import submissions
from hpc.state.arrays import Array
from hpc.state.scheduler import SchedulerError
from hpc.state.submissions import Submission
from jobs.campaign import Campaign
from jobs.provenance import PROJECT_ROOT
from jobs.worker import Worker

WARNING_S = 60  # before the time limit; then the current run is dropped and the task requeued
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
_NO_LIMIT = 10**6  # requeues at the time limit; a worker that makes no progress stops itself (jobs/worker.py)
_TEMPORARY = re.compile(
    r"timed out|temporarily|[Uu]nable to contact|[Cc]onnection|try again|"
    r"Rate limit|MaxJobCount|standby mode|Zero Bytes|Message (send|receive) failure"
)
_SUBMIT_LIMIT, _OTHER_LIMIT = re.compile(r"(Assoc|QOS)\w*SubmitJob"), re.compile(r"(Assoc|QOS)\w+")  # Slurm's names
_UNSEEN_S = 20
_LOOK_AGAIN_S = (0, 1, 2, 4)  # waits for an array that sbatch accepted without a clear id


def input_of(folder: Path, array: Array) -> Path:
    """The file that the workers of an array load."""
    return folder / f"{array.name}.pkl"


def output_of(folder: Path, job: str) -> Path:
    """The file in which submitit puts the output of a job."""
    return folder / f"{job}_0_log.out"


def submit_arrays(campaign: Campaign, submission: Submission, after: Sequence[Sequence[int]], options: Options) -> Submission:
    """Submit one array after the other. Each job id is on disk before the next array is submitted. Returns the record.

    If Slurm does not accept all workers of an array, half of them are tried, then a quarter, and so on. The record says what
    was accepted: n workers get at most the first n tasks. A sweep is left out if there is no room for it.

    Args:
        after: for each array, the places of the arrays that have to end first; if none, it waits for its `waits_for`.
        options: the user's.

    Raises:
        Refused, SchedulerError: sbatch does not accept an array; the job ids of the arrays before it are on disk.
    """
    arrays = list(submission.arrays)
    longest_min = max(array.resources.time_limit_min for array in arrays)
    for i, predecessors in enumerate(after):
        if predecessors:
            arrays[i] = replace(arrays[i], waits_for=tuple(arrays[place].job_id or "" for place in predecessors))
        planned = arrays[i]
        arrays[i] = _submit_one(campaign, submission.number, planned, longest_min, options)
        is_full = arrays[i].n_workers < planned.n_workers
        if is_full:
            arrays = [array for array in arrays[: i + 1] if array.n_workers]
        submission = replace(submission, arrays=tuple(arrays))
        submissions.write(campaign, submission)
        if is_full:
            break
    return submission


def _submit_one(campaign: Campaign, number: int, array: Array, longest_min: int, options: Options) -> Array:
    """Submit an array with as many of its workers as Slurm accepts (perhaps none)."""
    logs, limit_min = campaign.submission(number) / "logs", array.resources.time_limit_min
    script = logs / f"{array.name}.sh"
    for n_workers in (array.n_workers >> halvings for halvings in range(array.n_workers.bit_length())):
        n_tasks = array.n_tasks if array.is_sweep else math.ceil(array.n_tasks * n_workers / array.n_workers)
        fewer = replace(array, n_workers=n_workers, n_tasks=n_tasks, parallel=min(n_workers, array.parallel))
        folder, mem_mb = str(campaign.folder.resolve()), array.resources.mem_mb
        sweeps = (array.is_sweep, array.waits_for if array.is_sweep else ())
        worker = Worker(folder, number, n_tasks, limit_min, longest_min, mem_mb, *sweeps)
        import submitit  # slow, and most commands submit nothing

        pickled = submitit.helpers.DelayedSubmission(worker)
        pickled.set_timeout(limit_min, _NO_LIMIT)
        pickled.dump(input_of(logs, array))
        script.write_text(script_of(campaign, number, fewer, options))
        if job_id := _hand_over(script, array.name):
            return replace(fewer, job_id=job_id)
    return replace(array, n_workers=0)


def _hand_over(script: Path, name: str) -> str | None:
    """Submit an array. Returns its job id, or None if the user may not have that many more tasks in the queue now.

    Raises:
        Refused: its options are not possible on this cluster.
        SchedulerError: Slurm does not accept it now, or its job id cannot be found.
    """
    done = call("sbatch", str(script))
    said = "\n".join(line for line in (done.stderr + "\n" + done.stdout).splitlines() if line.strip())
    if done.returncode and is_without_room(said):
        return None
    if done.returncode and _TEMPORARY.search(said):
        raise SchedulerError(f"sbatch did not accept array {name}: {said}")
    if done.returncode:
        change = f"change {what_to_change(said)} in slurm: of the grid, or with --sbatch KEY=VALUE (sinfo shows what there is)"
        raise Refused(
            f"sbatch refused array {name}:\n{textwrap.indent(said, '  ')}\n{change}; arrays before it, if any, were submitted"
        )
    if job_id := job_id_in(done.stdout):
        return job_id
    for pause_s in _LOOK_AGAIN_S:
        time.sleep(pause_s)
        for element in programs.queue([name]).elements:
            return element.job_id
    raise SchedulerError(f"sbatch accepted array {name}, but squeue does not list it; sbatch said: {said}")


def is_without_room(said: str) -> bool:
    """Whether sbatch refuses because of too many submitted jobs. (Its last line names this limit for other reasons too.)"""
    return bool(_SUBMIT_LIMIT.search(said)) or ("job submit limit" in said and not _OTHER_LIMIT.search(said))


def job_id_in(answer: str) -> str | None:
    """The job id in the output of sbatch, with or without --parsable; None if there is none."""
    lines = (
        re.fullmatch(r"(?:Submitted batch job )?(\d+)(?:;\S+| on cluster \S+)?", line.strip()) for line in answer.splitlines()
    )
    ids = {line[1] for line in lines if line}
    return ids.pop() if len(ids) == 1 else None


def adopt_orphans(campaign: Campaign) -> None:
    """Record the job ids of arrays whose submitting process died before it did so. The arrays are found by their names.

    Raises:
        SchedulerError: Slurm does not answer.
    """
    for submission in submissions.read_all(campaign):
        orphans = [array.name for array in submission.arrays if array.job_id is None]
        if submission.ended or not orphans or submission.process.is_alive() is not False:
            continue
        submission = submissions.read(campaign, submission.number)  # the process may have written more before it ended
        found = {element.name: element.job_id for element in programs.queue(orphans).elements}
        arrays = (replace(array, job_id=array.job_id or found.get(array.name)) for array in submission.arrays)
        submissions.write(campaign, replace(submission, arrays=tuple(arrays)))


def rehearse(campaign: Campaign, arrays: Sequence[Array], options: Options) -> list[tuple[Array, str, bool]]:
    """Ask Slurm, array by array, whether it would accept it and when it would start: (array, its answer, accepted)."""
    answers = []
    for array in arrays:
        done = call("sbatch", "--test-only", text=script_of(campaign, 0, array, options))
        answers.append((array, done.stderr.strip() or done.stdout.strip(), done.returncode == 0))
    return answers


def script_of(campaign: Campaign, number: int, array: Array, options: Options) -> str:
    """The batch script of an array. An array of one worker is a plain job without an index."""
    folder = campaign.submission(number).resolve() / "logs"
    if folder.is_dir():  # (a rehearsal has none)
        folder.chmod(0o700)  # only the owner may write pickles; `claim` made it so, but it may have been changed
        if folder.stat().st_mode & 0o022:
            raise Refused(f"{folder}: others may write there (no permissions on this file system); choose another output_dir")
    python = str(options.get("python", sys.executable))
    if not shutil.which("srun"):  # submitit checks for it, though it is not used
        raise SchedulerError("srun is not on PATH, and submitit needs it; is this a login node?")
    import submitit  # slow, and most commands submit nothing

    executor = submitit.SlurmExecutor(folder, max_num_timeout=_NO_LIMIT, python="exec " + shlex.quote(python))
    executor.update_parameters(**_parameters(folder, array, options))
    executor.parameters["map_count"] = array.n_workers if array.n_workers > 1 else None
    return executor._make_submission_file_text(executor._submitit_command_str, "")


def _parameters(folder: Path, array: Array, options: Options) -> Mapping[str, Any]:
    asked = array.resources
    return {
        "job_name": array.name,
        "time": asked.time_limit_min,
        "cpus_per_task": asked.cpus,
        **memory_for_script(options, asked.mem_mb, asked.cpus, asked.gpus),
        "wckey": None,  # clusters that enforce wckeys refuse submitit's default
        "gres": f"gpu:{asked.gpus}" if asked.gpus else None,
        "array_parallelism": array.parallel,
        "use_srun": False,  # with srun, an OUT_OF_MEMORY would be reported as FAILED
        "stderr_to_stdout": True,
        "setup": [
            *_only_if_own(folder),
            *options.get("setup", ()),
            *_take_input(folder, array),
            *(f"export {name}=${{SLURM_CPUS_PER_TASK:-1}}" for name in _THREAD_VARIABLES),
        ],
        "additional_parameters": {
            "chdir": str(PROJECT_ROOT),
            "requeue": True,
            "signal": f"B:USR2@{WARNING_S}",  # the signal goes to the batch step, which is python itself (see `exec` above)
            **for_script(options, array.waits_for),
        },
    }


def _only_if_own(folder: Path) -> list[str]:
    """Shell lines that print the node's name as the log's first line, and check the folder of the inputs.

    A node that does not see the folder waits, so that it does not end task after task. If another user put a folder in its
    place, no pickle in it is executed.
    """
    place = shlex.quote(str(folder))
    return [
        'echo "$(date -u +%FT%TZ) on $(hostname), attempt ${SLURM_RESTART_COUNT:-0}"',
        f'[ -d {place} ] || {{ echo "error: $(hostname) does not see" {place} >&2; sleep {_UNSEEN_S}; exit 78; }}',
        f"[ -O {place} ] || {{ echo 'error: the folder of the inputs is not yours' >&2; exit 77; }}",
    ]


def _take_input(folder: Path, array: Array) -> list[str]:
    """Shell lines that copy the input to the name with the job's id, where submitit looks. An existing copy stays."""
    job = "${SLURM_ARRAY_JOB_ID:-$SLURM_JOB_ID}${SLURM_ARRAY_TASK_ID:+_$SLURM_ARRAY_TASK_ID}"
    own, given = f'{shlex.quote(str(folder))}/"{job}_submitted.pkl"', shlex.quote(str(input_of(folder, array)))
    return [f"[ -e {own} ] || {{ cp {given} {own}.new && mv {own}.new {own}; }}"]
