"""sbatch's options of a user: what is asked for first, what reaches the script, what is refused."""

import argparse

import pytest

from hpc.execution.slurm.options import command_line_option, first_request, for_script, option_problem, what_to_change
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
    options = {"partition": "cpu", "exclusive": False, "cpu-freq": "high", "mem": "4G", "time": 5, "contiguous": True}
    assert for_script(options, None) == {"partition": "cpu", "cpu_freq": "high", "contiguous": True}


def test_an_array_waits_for_ours_and_for_the_users_job() -> None:
    assert for_script({}, "17") == {"dependency": "afterany:17"}
    assert for_script({"dependency": "afterok:5"}, "17") == {"dependency": "afterany:17,afterok:5"}
    assert for_script({"dependency": "afterok:5"}, None) == {"dependency": "afterok:5"}


@pytest.mark.parametrize("key", ["signal", "requeue", "no-requeue", "array", "sig", "job_name", "wrap"])
def test_options_on_which_the_suite_relies_are_refused(key: str) -> None:
    problem = option_problem(key, "1")
    assert problem and problem[0] == "an option that is set by this suite"


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
        argparse.ArgumentTypeError, match="set by this suite: 'signal'; allowed: KEY=VALUE, such as partition=cpu"
    ):
        command_line_option("signal=USR1")


def test_a_reason_of_sbatch_names_the_option_behind_it() -> None:
    assert what_to_change("Invalid account or account/partition combination specified") == "account"
    assert what_to_change("invalid partition specified: x") == "partition"
    assert what_to_change("Requested node configuration is not available") == "mem, cpus_per_task or gres"
    assert what_to_change("something else") == "an option"
