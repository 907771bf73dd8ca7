"""The filter language means what its page says, on every column of the CSV, as a slow reading of the CSV's text does."""

import csv
import io
import random
import re
from decimal import Decimal

import numpy as np
import pytest

from analysis.counted import Counted
from analysis.planned import Planned, cells_of
from jobs.campaign import Campaign
from jobs.columns import MISSING, PLANNED, SPEC_FIELDS, Columns, columns_of, planned_columns
from jobs.filters import FilterError, Nothing, is_term, matching, terms_of, values_of
from jobs.manifest import Header
from jobs.recorded import Recorded
from noisy.runs import Runs
from tests.records import record, write_shard
from tests.specs import runs, spec

RUNS = runs(*(spec(p=p, hidden_sizes=sizes, repeat=i) for p in (0.0, 0.5) for sizes in ((16,), (16, 8)) for i in range(3)))
SEVERAL = runs(
    spec(learning_rate=1e-05, weight_decay=0.1, max_train_samples=100),
    spec(repeat=3, hidden_sizes=(256, 128), p=0.0, activation="leaky_relu", seed=2**63 - 1),
    spec(repeat=3, hidden_sizes=(256, 128), p=0.0, activation="leaky_relu", seed=2**63 - 2),
    spec(model_type="cnn", batch_size=7, precision="bfloat16", dataset="mnist", epochs=3),
)


def places(words: list[str], of: Runs = RUNS) -> list[int]:
    columns = planned_columns(of)
    return matching(terms_of(words, columns), columns, len(of)).tolist()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], list(range(12))),
        (["p=0.5"], [6, 7, 8, 9, 10, 11]),
        (["p=5e-1"], [6, 7, 8, 9, 10, 11]),
        (["p!=0"], [6, 7, 8, 9, 10, 11]),
        (["p=0.5", "repeat=1"], [7, 10]),
        (["p=0,0.5", "repeat=1"], [1, 4, 7, 10]),
        (["repeat=1..2", "p=0.1..0.9"], [7, 8, 10, 11]),
        (["repeat=..1", "p=0.1.."], [6, 7, 9, 10]),
        (["repeat<1"], [0, 3, 6, 9]),
        (["repeat>=1", "repeat<=1"], [1, 4, 7, 10]),
        (["repeat>1", "p<0.5"], [2, 5]),
        (["repeat!=0..1", "p<0.5"], [2, 5]),
        (["hidden_sizes=[16, 8]"], [3, 4, 5, 9, 10, 11]),
        (["hidden_sizes=[16, 8],[16]", "repeat==0"], [0, 3, 6, 9]),
        (["hidden_sizes=16-8", "p=0"], [3, 4, 5]),
        (["hidden_sizes=16", "repeat=0"], [0, 6]),
        (["hidden_sizes=16-*", "repeat=0"], [3, 9]),
        (["hidden_sizes=1?", "repeat=0"], [0, 6]),
        (["activation=relu,re*", "repeat=2", "p=0"], [2, 5]),
        ([f"run_id={RUNS.ids()[4]}"], [4]),
        ([f"run_id={RUNS.ids()[4][:7]}*,{RUNS.ids()[9]}"], [4, 9]),
    ],
)
def test_a_filter_means_these_runs(words: list[str], expected: list[int]) -> None:
    assert places(words) == expected


WRONG = {  # a filter of RUNS or SEVERAL -> what is said of it
    "activation=tanh,rleu": "no run has activation=tanh, activation=rleu",
    "activation=relu,rleu": "no run has activation=rleu (meant: relu?); allowed: relu",
    "activation!=rleu": "no run has activation=rleu (meant: relu?); allowed: relu",
    "activation=relu,tan*": "no run has activation=tan*; allowed: relu",
    "p=0.25": "no run has p=0.25; allowed: 0.0, 0.5",
    "p=0.5,0.6..0.8": "no run has p=0.6..0.8; allowed: 0.0, 0.5",
    "p!=0.7": "no run has p=0.7; allowed: 0.0, 0.5",
    "p=": "no run has p=; allowed: 0.0, 0.5",
    "repeat=0,3..": "no run has repeat=3..; allowed: 0, 1, 2",
    "repeat>2": "no run has repeat>2; allowed: 0, 1, 2",
    "hidden_sizes=[16],[8, 16]": "no run has hidden_sizes=[8, 16]; allowed: 16, 16-8",
    "dataset=null": "no run has dataset=; allowed: digits",
    "dataset=digïts": "no run has dataset=dig\\xefts (meant: digits?); allowed: digits",
    "run_id=rel*": "no run has run_id=rel*; allowed: ",
    "max_train_samples=..": "no run has max_train_samples=..; allowed: (empty)",
}


@pytest.mark.parametrize("word", WRONG)
def test_a_value_that_no_run_has_is_a_mistake_also_beside_right_ones(word: str) -> None:
    with pytest.raises(FilterError) as error:
        places([word, "p=0.5"])
    (said,) = error.value.problems
    assert ascii(word)[1:-1] in said and WRONG[word] in said


def test_right_values_that_no_run_has_together_are_no_mistake() -> None:
    with pytest.raises(Nothing, match=r"no run has p=0\.0 max_train_samples=100") as error:
        places(["p=0.0", "max_train_samples=100"], SEVERAL)
    assert error.value.values == ["p: 0.0, 0.3", "max_train_samples: 100, (empty)"]


@pytest.mark.parametrize(
    ("word", "problem"),
    [
        ("host=node2,node3", "'host=node2,node3': no run has host=node3 (meant: node2?); allowed: (empty), node1, node2"),
        ("host!=node3", "'host!=node3': no run has host=node3 (meant: node2?); allowed: (empty), node1, node2"),
        ("host=node3*", ""),
        ("message=", ""),
        ("status=failed,diverged", ""),
        ("test_accuracy=0.999,2..", ""),
        ("n_correct<0", ""),
    ],
)
def test_numbers_and_patterns_of_results_may_fit_no_run(recorded: tuple[Runs, Recorded], word: str, problem: str) -> None:
    columns = columns_of(*recorded)
    if not problem:
        assert len(terms_of([word], columns)) == 1
        return
    with pytest.raises(FilterError) as error:
        terms_of([word], columns)
    assert error.value.problems == [problem]


def test_all_problems_of_a_filter_are_named_at_once() -> None:
    words = ["activatoin=tanh", "repeat", "p=x,0.5..y", "activation<tanh", "what", "repeat=[1, 2]", "seed=1e400", "p<"]
    with pytest.raises(FilterError) as error:
        places([*words, "p=0.5"])
    said = error.value.problems
    assert len(said) == len(words)
    assert said[0] == "'activatoin=tanh': no column 'activatoin' (meant: activation?)"
    assert "in quotes" in said[1] and "quotes" not in said[4]  # `repeat<5` without quotes leaves `repeat`
    assert said[2] == "'p=x,0.5..y': not a number: 'x', 'y'"
    assert said[3] == "'activation<tanh': activation is text; allowed: = and !="
    assert all("not a number" in line for line in said[5:])


@pytest.mark.parametrize(
    ("word", "problem"),
    [
        ("p=0.9..0.1,0.5", r"no number is in 0.9..0.1 \(meant: 0.1..0.9\?\)"),
        ("p!=0.9..1e-1", r"no number is in 0.9..1e-1 \(meant: 1e-1..0.9\?\)"),
        ("status!=faild", r"not possible: 'faild' \(meant: failed\?\); allowed: ok, chance, diverged, failed, missing"),
        ("status=ok,okay", r"not possible: 'okay'"),
        ("status=", r"not possible: ''"),
    ],
)
def test_a_value_that_no_run_can_have_is_a_mistake(recorded: tuple[Runs, Recorded], word: str, problem: str) -> None:
    with pytest.raises(FilterError, match=problem):
        terms_of([word], columns_of(*recorded))


def test_an_unknown_column_without_a_near_one_gets_all_that_there_are() -> None:
    with pytest.raises(FilterError, match=r"^'x=1': no column 'x'; allowed: run_id, dataset, activation, "):
        places(["x=1"])


@pytest.mark.parametrize(
    "text", ["p=" + "[" * 10**5, "p=1_0", "p=0x1", "p=nan", "p=٣", "p=true", "repeat=true", "seed=" + "9" * 5000]
)
def test_no_strange_number_is_taken_for_one(text: str) -> None:
    with pytest.raises(FilterError, match="not a number"):
        places([text])


def test_a_large_seed_is_compared_to_its_last_digit() -> None:
    assert places([f"seed={2**63 - 1}"], SEVERAL) == [1]
    assert places([f"seed<{2**63 - 1}"], SEVERAL) == [0, 2, 3]


def test_folders_and_ids_are_no_terms() -> None:
    assert not any(map(is_term, ("results/x", "3f2a", "", ".", "--failed")))
    assert all(map(is_term, ("p=1", "p!=1", "p<1", "p>=1", "=", "x==1")))


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Runs, Recorded]:
    """Runs of which some are done, some failed, some both, and some have no record."""
    folder = tmp_path_factory.mktemp("filters")
    several = runs(
        *(spec(p=p, repeat=i, activation=a) for p in (0.1, 0.5, 0.9) for a in ("relu", "tanh") for i in range(4)), *SEVERAL
    )
    campaign, every = Campaign(folder), list(several)
    first = [record(run, n_correct=40 * (i % 7), status=("ok", "chance", "diverged")[i % 3]) for i, run in enumerate(every[:9])]
    failed = [record(run, status="failed", message="ran out, of memory" if i else "lost") for i, run in enumerate(every[7:12])]
    write_shard(campaign.shards, 0, first)
    write_shard(campaign.shards, 1, failed, attempt=1, host="node2", job="12_3", runs_together=4)
    return several, Recorded("c0ffee").updated(campaign.shard_paths())


def csv_rows(of: Runs, found: Recorded) -> list[dict[str, str]]:
    """The rows of the CSV as text, those of runs without a record too: only what was planned is in them."""
    planned = Planned(Header("c0ffee", "", "", len(of), ""), of, cells_of(of))
    table = Counted.of(found, of).table(planned)
    rows = list(csv.DictReader(io.StringIO(table.to_csv(index=False))))
    kept = (*PLANNED, "status")
    return [row if row["status"] != MISSING else {name: row[name] if name in kept else "" for name in row} for row in rows]


def fits(row: dict[str, str], name: str, sign: str, value: str, is_number: bool) -> bool:
    """Whether a row of text fits a term: read word by word, with no array."""
    text = row[name]
    if sign == "!=":
        return not fits(row, name, "=", value, is_number)
    if sign in ("<", "<=", ">", ">="):
        return bool(text) and eval(f"number {sign} other", {"number": Decimal(text), "other": Decimal(value)})
    for each in value.split(","):
        low, dots, high = each.partition("..")
        if is_number and dots and text:
            if (not low or Decimal(text) >= Decimal(low)) and (not high or Decimal(text) <= Decimal(high)):
                return True
        elif is_number and not dots and text and each:
            if Decimal(text) == Decimal(each):
                return True
        elif text == each or ("*" in each and re.fullmatch(re.escape(each).replace(r"\*", ".*"), text, re.DOTALL)):
            return True
    return False


def test_the_columns_are_those_of_the_csv(recorded: tuple[Runs, Recorded]) -> None:
    of, found = recorded
    rows, columns = csv_rows(of, found), columns_of(of, found)
    assert set(columns) == set(rows[0])
    for name, column in columns.items():
        written = ["" if value is None else str(value) for value in column.at(np.arange(len(of)))]
        for text, row in zip(written, rows, strict=True):
            assert text == row[name] or float(text) == float(row[name]), name  # 3.0 where pandas made it so


@pytest.mark.parametrize("seed", range(4))
def test_a_random_filter_finds_what_a_slow_reading_of_the_csv_finds(recorded: tuple[Runs, Recorded], seed: int) -> None:
    of, found = recorded
    rows, columns, rng = csv_rows(of, found), columns_of(of, found), random.Random(seed)
    n_found = 0
    for _ in range(300):
        terms = [_random_term(rng, rows, columns) for _ in range(rng.choice([1, 1, 2]))]
        expected = [i for i, row in enumerate(rows) if all(fits(row, *term, columns[term[0]].is_number) for term in terms)]
        words = ["".join(term) for term in terms]
        try:
            assert matching(terms_of(words, columns), columns, len(of)).tolist() == expected, words
        except FilterError:
            assert any(_is_unknown(rows, *term, columns[term[0]].is_number) for term in terms), words
        except Nothing:
            assert not expected, words
        n_found += bool(expected)
    assert n_found > 100  # most of the filters fit something


def _is_unknown(rows: list[dict[str, str]], name: str, sign: str, value: str, is_number: bool) -> bool:
    """Whether no row has one of the values of a term."""
    alone = [(sign, value)] if sign[0] in "<>" else [("=", each) for each in value.split(",")]
    return not all(any(fits(row, name, *each, is_number) for row in rows) for each in alone)


def _random_term(rng: random.Random, rows: list[dict[str, str]], columns: Columns) -> tuple[str, str, str]:
    name = rng.choice(list(columns))
    values = [value for value in rng.choices([row[name] for row in rows], k=2) if "," not in value] or [""]
    if not columns[name].is_number:
        values = [value[: rng.randint(0, len(value))] + "*" if rng.random() < 0.3 else value for value in values]
        return name, rng.choice(["=", "!="]), ",".join(values)
    if rng.random() < 0.3 and values[0]:
        return name, rng.choice(["<", "<=", ">", ">="]), values[0]
    if rng.random() < 0.4:
        low, high = sorted((values[0], values[-1]), key=lambda text: float(text or "inf"))
        return name, rng.choice(["=", "!="]), "..".join([low, rng.choice(["", high])] if low else ["", "0.5"])
    return name, rng.choice(["=", "!="]), ",".join(values)


def test_every_column_of_a_plan_tells_its_runs_apart() -> None:
    """Values are as the CSV writes them."""
    rows = csv_rows(SEVERAL, Recorded(""))
    for name in SPEC_FIELDS:
        for row in rows:
            expected = [place for place, other in enumerate(rows) if other[name] == row[name]]
            assert places([f"{name}={row[name]}"], SEVERAL) == expected, (name, row[name])
    for place, row in enumerate(rows):
        assert places([f"{name}={row[name]}" for name in SPEC_FIELDS], SEVERAL) == [place]


def test_many_values_are_shown_as_what_is_between_them() -> None:
    many = planned_columns(runs(*(spec(repeat=i) for i in range(40))))
    assert values_of(many["repeat"]) == "0 to 39, 40 values"
    assert values_of(many["run_id"]).endswith(", and 28 more")
    assert values_of(planned_columns(SEVERAL)["max_train_samples"]) == "100, (empty)"
