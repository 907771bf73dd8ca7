"""sbatch's options of a user: what is asked for first, what reaches the script, what is refused."""

import argparse

import pytest

from hpc.execution.slurm.options import (
    command_line_option,
    first_request,
    for_script,
    from_environment,
    memory_for_script,
    option_problem,
    what_to_change,
)
from hpc.planning.workers import FirstRequest


def test_memory_and_time_are_the_first_request() -> None:
    assert first_request({}) == FirstRequest(None, None)
    assert first_request({"mem": "4G", "time": "1:00:30"}) == FirstRequest(4294, 61)
    assert first_request({"mem": 1000, "time": 5}) == FirstRequest(1048, 5)


@pytest.mark.parametrize("options", [{"mem": "much"}, {"time": "soon"}, {"time": "infinite"}, {"mem": "3Q"}])
def test_what_cannot_be_read_is_named(options: dict) -> None:
    with pytest.raises(ValueError, match="allowed: time as MINUTES or HOURS:MINUTES:SECONDS, mem as 900M or 4G"):
        first_request(options)


def test_what_reaches_the_script() -> None:
    options = {"partition": "cpu", "exclusive": False, "cpu_freq": "high", "mem": "4G", "time": 5, "contiguous": True}
    assert for_script(options, None) == {"partition": "cpu", "cpu_freq": "high", "contiguous": True}


def test_an_array_waits_for_ours_and_for_the_users_job() -> None:
    assert for_script({}, ["17"]) == {"dependency": "afterany:17"}
    assert for_script({}, ["17", "18"]) == {"dependency": "afterany:17:18"}
    assert for_script({"dependency": "afterok:5"}, ["17"]) == {"dependency": "afterany:17,afterok:5"}
    assert for_script({"dependency": "afterok:5"}, []) == {"dependency": "afterok:5"}


@pytest.mark.parametrize(
    ("options", "first_mb", "for_script_"),
    [
        ({}, None, {"mem": "954M"}),
        ({"mem": "4G"}, 4294, {"mem": "954M"}),
        ({"mem_per_cpu": "1G"}, 2147, {"mem": None, "mem_per_cpu": "477M"}),
        ({"mem_per_cpu": "1G", "cpus_per_task": 4}, 4294, {"mem": None, "mem_per_cpu": "239M"}),
        ({"mem_per_gpu": "1G"}, 1073, {"mem": None, "mem_per_gpu": "954M"}),
        ({"mem": None}, None, {"mem": None}),
        ({"mem": False}, None, {"mem": None}),
    ],
)
def test_memory_is_asked_for_as_the_user_does(options: dict, first_mb: int | None, for_script_: dict) -> None:
    """A plan, and so a retry, may ask for more than the first request."""
    assert first_request(options, cpus=2, gpus=1).mem_mb == first_mb
    assert memory_for_script(options, 1000, 2, 1) == for_script_
    assert for_script(options, None) == {key: 4 for key in ("cpus_per_task",) if key in options}


def test_two_ways_to_ask_for_memory_are_refused() -> None:
    with pytest.raises(ValueError, match="only one of mem, mem-per-cpu and mem-per-gpu"):
        first_request({"mem": "4G", "mem_per_cpu": "1G"})


def test_what_is_set_for_all_submissions_is_taken_over() -> None:
    environment = {
        "SBATCH_PARTITION": "cpu",
        "SBATCH_QOS": "",
        "SBATCH_TIMELIMIT": "5",
        "SLURM_ACCOUNT": "x",
        "SBATCH_ACCOUNT": "lab",
    }
    assert from_environment(environment) == {"partition": "cpu", "account": "lab"}
    with pytest.raises(ValueError, match="SBATCH_QOS: not possible"):
        from_environment({"SBATCH_QOS": "a\nb"})


@pytest.mark.parametrize(("short", "long"), [("A", "account"), ("p", "partition"), ("t", "time"), ("c", "cpus-per-task")])
def test_short_forms_are_answered_with_the_long_one(short: str, long: str) -> None:
    assert option_problem(short, "1") == ("a short form", short, f"the long form, {long}")


def test_setup_is_a_list_of_lines() -> None:
    assert option_problem("setup", ["module load python/3.11", "source env/bin/activate"]) is None
    for wrong in ("module load", [1], ["a\nb"], None):
        problem = option_problem("setup", wrong)
        assert problem and "a list of shell commands" in problem[2]


@pytest.mark.parametrize(
    "key",
    [
        "wait",
        "quiet",
        "clusters",
        "help",
        "version",
        "usage",
        "parsable",
        "signal",
        "requeue",
        "no-requeue",
        "external",
        "array",
        "sig",
        "job_name",
        "wrap",
    ],
)
def test_options_on_which_the_suite_relies_are_refused(key: str) -> None:
    problem = option_problem(key, "1")
    assert problem and problem[0] == "an option that this program sets"


@pytest.mark.parametrize("key", ["partition", "qos", "mem", "time", "reservation", "nodes", "exclusive", "dependency"])
def test_other_options_are_allowed(key: str) -> None:
    assert option_problem(key, "1") is None


@pytest.mark.parametrize(
    ("text", "option"),
    [
        ("partition=cpu", ("partition", "cpu")),
        ("exclusive", ("exclusive", True)),
        ("exclusive=true", ("exclusive", True)),
        ("exclusive=false", ("exclusive", False)),
        ("comment=a=b", ("comment", "a=b")),
    ],
)
def test_options_of_the_command_line(text: str, option: tuple[str, str | bool]) -> None:
    assert command_line_option(text) == option


def test_a_wrong_option_of_the_command_line_is_refused() -> None:
    with pytest.raises(
        argparse.ArgumentTypeError, match="that this program sets: 'signal'; allowed: KEY=VALUE, such as partition=cpu"
    ):
        command_line_option("signal=USR1")


def test_a_reason_of_sbatch_names_the_option_behind_it() -> None:
    assert what_to_change("Invalid account or account/partition combination specified") == "account or partition"
    assert what_to_change("invalid partition specified: x") == "partition"
    assert what_to_change("Requested node configuration is not available") == "mem, cpus_per_task or gres"
    assert what_to_change("something else") == "an option"
