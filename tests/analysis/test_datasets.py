"""What a report knows of own data sets: what the manifest says, and nothing where two say different things."""

import math
import time
from dataclasses import replace

from analysis.datasets import info, own_files, remember, sizes
from analysis.figures.names import majority
from analysis.planned import cells_of
from noisy.datasets import DatasetInfo
from tests.specs import runs, spec

INFO = DatasetInfo(1_000, 200, 4, (3, 16, 16), "0" * 16)
FILES = {"extensions": f"{'a' * 16}+{'b' * 16}"}


def test_the_sizes_of_an_own_data_set_come_from_the_manifest() -> None:
    name = f"squares_{time.time_ns()}"  # a process remembers what it has read, and `make mutants` calls this twice
    assert info(name) is None and math.isnan(majority(name)) and sizes(name) == ""
    cells = cells_of(runs(spec(dataset=name, own_data=INFO.text, **FILES)))
    assert info(name) == INFO and majority(name) == 0.25
    assert sizes(name) == "1,000 training and 200 test images of 3 x 16 x 16 values"
    assert "extensions" not in cells and "own_data" not in cells, "no axis: a name has one meaning in a campaign"
    assert sizes("digits") == "1,442 training and 355 test images"


def test_two_data_sets_of_one_name_are_unknown() -> None:
    for digest in ("0" * 16, "1" * 16):
        remember(runs(spec(dataset="triangles", own_data=INFO._replace(digest=digest).text, **FILES)))
    assert info("triangles") is None and math.isnan(majority("triangles"))


def test_own_files_are_named() -> None:
    own, plain = spec(activation="swish", **FILES), spec()
    (line,) = own_files(runs(own, plain, replace(own, repeat=1)))
    assert f"extensions/{'a' * 16}_* and extensions/{'b' * 16}_*" in line
    assert not list(own_files(runs(plain)))
