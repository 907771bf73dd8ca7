"""The JSON schema of a grid and the check of a grid agree, but for what a schema cannot say. All of that is listed here."""

import json
import random

import jsonschema
import pytest
import yaml

from hpc.execution.choice import SECTIONS
from hpc.request.grid import parse_grid
from hpc.request.yaml_file import GridError, parse_yaml
from tests import commands, grid_schema
from tests.campaigns import GRID
from tests.hpc.request.test_grid import BROKEN
from tests.hpc.request.test_settings import FILES
from tests.hpc.request.test_twins import drawn_grid

KEPT = commands.ROOT / "hpc" / "grid.schema.json"
SAYS = jsonschema.Draft7Validator(json.loads(KEPT.read_text()))

BEYOND = {  # what a schema cannot say -> the broken grids of the tests that have it
    "values that are one training": {
        "p and its rounding error",
        "p too small to differ",
        "learning rates that are one",
        "all samples, named",
        "two batches of all",
        "two batches of all, for one model",
        "two batches of all in an override",
    },
    "values that nobody uses": {"a model that is not run", "layers that are not run", "a value below another"},
    "a limit that follows from other keys": {"too many samples", "too many runs"},
    "numbers that are none": {"p not a number"},
    "a user who does not exist": {"home of nobody"},
    "an abbreviated option of sbatch": {"slurm output, abbreviated"},
    "a character without a meaning": {"unprintable path"},
}


def problems(text: str) -> list[str]:
    try:
        parse_grid(text, SECTIONS)
    except GridError as error:
        return error.problems
    return []


def test_the_file_is_as_the_table_of_keys_has_it() -> None:
    assert KEPT.read_text() == grid_schema.page(), "python -m tests.grid_schema > hpc/grid.schema.json"
    jsonschema.Draft7Validator.check_schema(SAYS.schema)


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_grid_is_refused_by_the_schema_too(name: str) -> None:
    text = BROKEN[name][0]
    try:
        values, check = parse_yaml(text)
    except GridError:
        return  # no schema is asked: the file's text is refused, not its values
    if check.problems or name == "a huge file":
        return
    is_beyond = any(name in names for names in BEYOND.values())
    assert SAYS.is_valid(values) == is_beyond


def test_each_class_of_what_a_schema_cannot_say_has_its_grids() -> None:
    assert all(names and names <= {*BROKEN} for names in BEYOND.values())
    assert sum(map(len, BEYOND.values())) == len(set().union(*BEYOND.values()))


GRIDS = [commands.ROOT / "grid.yaml", *sorted((commands.ROOT / "grids").glob("*.yaml"))]


@pytest.mark.parametrize("text", [*(path.read_text() for path in GRIDS), GRID, *FILES.values()])
def test_no_valid_grid_is_refused(text: str) -> None:
    assert not problems(text)
    SAYS.validate(yaml.safe_load(text))


def test_drawn_grids_differ_only_in_what_a_schema_cannot_say() -> None:
    n_refused = 0
    for number in range(250):
        values = drawn_grid(random.Random(number))
        found = problems(yaml.safe_dump(values))
        beyond = [line for line in found if ": the same training as " in line or ": not used: " in line]
        assert SAYS.is_valid(values) == (found == beyond), values
        n_refused += found != beyond
    assert 3 < n_refused < 100


CHANGES = (None, 0, -1, 1.5, 2**31, "", "x", True, [], [None], [[]], {}, {"x": 1}, [1, 1], ["relu", "relu"])


@pytest.mark.parametrize(
    "key", [*SAYS.schema["properties"], "models.mlp", *(f"models.mlp.{key}" for key in ("epochs", "hidden_sizes"))]
)
@pytest.mark.parametrize("value", CHANGES, ids=repr)
def test_any_value_of_a_key_is_refused_by_both_or_by_none(key: str, value: object) -> None:
    outer, *inner = reversed(key.split("."))
    values = {outer: value}
    for name in inner:
        values = {name: values}
    assert SAYS.is_valid(values) == (not problems(yaml.safe_dump(values)))
