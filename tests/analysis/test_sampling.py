"""The spread that errors on the test images explain: from the bits of a real results.h5, against plain numpy."""

from pathlib import Path

import numpy as np
import pytest

from analysis.bits import open_bits
from analysis.merge import merge
from analysis.sampling import explained_variance, split
from analysis.statistics import summarise
from jobs.campaign import Campaign
from jobs.manifest import write_manifest
from noisy.runs import Runs
from tests.records import failure, record
from tests.specs import spec

N_TEST = 355


def test_one_image_at_a_time_by_hand() -> None:
    """Two images, three runs: right on the first (2 of 3), right on the second (0 of 3)."""
    accuracy = np.array([0.5, 0.5, 0.0])
    explained = (2 * 1 / (3 * 2) + 0) / 2**2
    genuine, by_errors, is_truncated = split(np.array([accuracy.std(ddof=1)]), np.array([explained]), np.array([2]))
    assert by_errors[0] ** 2 == pytest.approx(explained, abs=1e-12)
    assert genuine[0] ** 2 == pytest.approx(2 / 1 * (accuracy.var(ddof=1) - explained), abs=1e-12)
    assert not is_truncated[0]


def test_a_negative_variance_is_0_and_flagged_and_one_run_has_none() -> None:
    genuine, _, is_truncated = split(np.array([0.0, np.nan]), np.array([0.01, np.nan]), np.array([10, 10]))
    np.testing.assert_array_equal(genuine, [0, np.nan])
    assert list(is_truncated) == [True, False]


@pytest.mark.parametrize("repeats", [3, 300])
def test_the_bits_of_a_store(tmp_path: Path, repeats: int) -> None:
    """Cells of different sizes, a failed run, a run without a record, and a cell whose bits contradict its counts."""
    chance = np.random.default_rng(repeats)
    specs = [spec(p=p, repeat=repeat) for repeat in range(repeats) for p in (0.0, 0.3, 0.5, 0.8)]
    bits = {run: chance.random(N_TEST) < chance.uniform(0.2, 0.9, N_TEST) for run in specs}
    records = [record(run, int(bits[run].sum()), correct=np.packbits(bits[run])) for run in specs if run.p != 0.8]
    records[0] = failure(specs[0])
    records[1] = record(specs[1], int(bits[specs[1]].sum()) + 1, correct=np.packbits(bits[specs[1]]))  # p = 0.3
    records.append(record(specs[3], 300))  # the only run of p = 0.8
    campaign = Campaign(tmp_path)
    header = write_manifest(campaign.manifest, Runs.of(specs), "abc")
    for task, start in enumerate(range(0, len(records), 200)):
        write_shard_at_once(campaign.shards, task, records[start : start + 200], header.campaign)
    store = tmp_path / "results.h5"
    merged = merge(campaign, store)
    runs = merged.runs
    with open_bits(store) as opened:
        explained = explained_variance(runs, merged.planned.runs.cell, len(merged.planned.cells), opened)
    summary = summarise(runs, merged.planned.runs.cell, merged.planned.cells, explained)
    assert list(summary["p"]) == [0.0, 0.3, 0.5, 0.8]
    assert list(np.isnan(summary["seed_std_genuine"])) == [False, True, False, True]
    for p, left_out in ((0.0, {specs[0]}), (0.5, set())):
        right = np.array([bits[run] for run in specs if run.p == p and run not in left_out])
        by_errors = right.var(axis=0, ddof=1).sum() / N_TEST**2
        genuine = N_TEST / (N_TEST - 1) * (right.mean(axis=1).var(ddof=1) - by_errors)
        row = summary[summary["p"] == p].iloc[0]
        assert row["seed_std_explained"] == pytest.approx(np.sqrt(by_errors), abs=1e-12)
        assert row["seed_std_genuine"] == pytest.approx(np.sqrt(max(0, genuine)), abs=1e-12)
        assert row["is_seed_std_truncated"] == (genuine < 0)


def write_shard_at_once(folder: Path, task: int, records: list, campaign: str) -> None:
    """One part, as a worker writes it, without an append for each record."""
    from jobs.shard import ShardWriter
    from tests.records import ATTRIBUTES

    folder.mkdir(parents=True, exist_ok=True)
    ShardWriter(folder, 1, task, 0, ATTRIBUTES | {"campaign": campaign})._publish(records, "")
