"""Every column of the results is described, where people look: in results.h5, and in docs/columns.md."""

from pathlib import Path

import h5py

from analysis.columns import PER_RUN
from analysis.columns_page import page
from analysis.merge import merge
from jobs.campaign import Campaign
from jobs.manifest import write_manifest
from noisy.runs import Runs
from tests.commands import ROOT
from tests.records import record, write_shard
from tests.specs import spec


def test_the_page_is_what_the_code_says() -> None:
    assert (ROOT / "docs" / "columns.md").read_text() == page()


def test_all_columns_and_no_others_are_described(tmp_path: Path) -> None:
    campaign = Campaign(tmp_path)
    header = write_manifest(campaign.manifest, Runs.of([spec()]), "abc")
    write_shard(campaign.shards, 0, [record(spec())], campaign=header.campaign)
    columns = set(merge(campaign, tmp_path / "results.h5").runs.columns)
    with h5py.File(tmp_path / "results.h5") as file:
        arrays = {name: array for name, array in file.items() if isinstance(array, h5py.Dataset) and not array.is_scale}
        assert set(arrays) == set(PER_RUN)
        assert columns < set(PER_RUN)
        assert {name: (array.attrs.get("units", ""), array.attrs["long_name"]) for name, array in arrays.items()} == PER_RUN
