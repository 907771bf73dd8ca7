"""Runs of own files: the same bits alone, packed and resumed; and only by the copy that the campaign keeps."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from jobs.archived import is_plain
from jobs.campaign import Campaign
from jobs.execute import groups_of
from jobs.extensions import copy_name, keep_copies, load_copies
from jobs.manifest import ManifestError
from jobs.shift import Shift
from jobs.task import execute_task
from jobs.taskfile import task_places
from noisy.data import DataError
from noisy.extend import ExtensionError
from noisy.owndata import load_own, own_folder
from noisy.processor import this_processor
from noisy.runs import Runs
from noisy.spec import PRECISIONS, RunSpec
from noisy.training import train
from tests.extensions import CODE, DIGEST, rings
from tests.jobs.test_reproducible import bits, bits_of
from tests.records import submitted
from tests.specs import spec


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    rings(folder)
    return folder


@pytest.fixture(scope="module")
def runs(data_dir: Path) -> list[RunSpec]:
    data = rings(data_dir)
    assert data.own
    own = {"dataset": "rings", "extensions": DIGEST, "own_data": data.own.text, "batch_size": 20, "max_train_samples": 30}
    return [
        spec(model_type=model_type, activation=activation, precision=precision, **own)
        for model_type in ("resnet6", "cnn")
        for activation in ("swish", "relu")
        for precision in PRECISIONS
        if precision == "float32" or not this_processor().bfloat16_refusal
    ]


@pytest.mark.slow
def test_alone_packed_and_resumed_agree_in_every_bit(tmp_path: Path, data_dir: Path, runs: list[RunSpec]) -> None:
    data = load_own(runs[0], data_dir)
    alone = {run.run_id: bits_of(train(run, data)) for run in reversed(runs)}
    assert len({found[1:] for found in alone.values()}) == len(runs), "no two of these runs are the same training"
    packed, resumed = (submitted(tmp_path / name, data_dir, runs) for name in ("packed", "resumed"))
    for campaign in (packed, resumed):
        keep_copies(campaign, [("my_nets.py", CODE.encode())])
    torch.manual_seed(0)  # as another process may have another state, from which nothing may follow
    execute_task(task_places(packed, 1)[0], 0)
    execute_task(task_places(resumed, 1)[0], 0, Shift(end_s=0))  # (test_reproducible.py resumes what another process began)
    assert len(bits(resumed)) == 1, "a worker without time did its first run, and left the others"
    execute_task(task_places(resumed, 1)[0], 1)
    assert bits(packed) == alone
    assert bits(resumed) == alone


def test_a_run_is_trained_by_the_copy_with_its_digest_or_not_at_all(tmp_path: Path, runs: list[RunSpec]) -> None:
    campaign, own = Campaign(tmp_path), Runs.of([replace(runs[0], extensions=f"{'0' * 16}+{DIGEST}")])
    with pytest.raises(ManifestError, match=r"extensions: no file 0{16}_\*; submit the grid again"):
        load_copies(campaign, own)
    campaign.extensions.mkdir()
    (campaign.extensions / f"{'0' * 16}_my_nets.py").write_text(CODE)
    with pytest.raises(ManifestError, match=rf"was changed: its digest is {DIGEST}; submit the grid again"):
        load_copies(campaign, own)
    with pytest.raises(ExtensionError, match=r"model 'resnet6': not built in, and no file with the digest 0{16}"):
        train(replace(runs[0], extensions="0" * 16), rings(tmp_path))


def test_a_copy_that_cannot_be_executed_here_is_named(tmp_path: Path, runs: list[RunSpec]) -> None:
    campaign, content = Campaign(tmp_path), b"import a_package_of_another_node\n"
    keep_copies(campaign, [("nets.py", content)])
    (path,) = campaign.extensions.iterdir()
    run = replace(runs[0], extensions=path.name[:16])
    with pytest.raises(ExtensionError, match=rf"{path.name}, line 1: ModuleNotFoundError: No module named 'a_package"):
        load_copies(campaign, Runs.of([run]))


def test_a_damaged_copy_is_written_again_and_others_are_left(tmp_path: Path) -> None:
    campaign, file = Campaign(tmp_path), ("my_nets.py", CODE.encode())
    keep_copies(campaign, [file])
    (path,) = campaign.extensions.iterdir()
    written = path.stat().st_mtime_ns
    keep_copies(campaign, [file, ("other.py", b"")])
    assert path.stat().st_mtime_ns == written and len(list(campaign.extensions.iterdir())) == 2
    path.write_bytes(b"damaged")
    keep_copies(campaign, [file])
    assert path.read_bytes() == file[1]


def test_another_data_set_than_that_of_the_run_is_refused(tmp_path: Path, runs: list[RunSpec]) -> None:
    rings(tmp_path)
    other = runs[0].own_data[:-16] + "0" * 16
    with pytest.raises(DataError, match=rf"holds {runs[0].own_data}; the run needs {other}"):
        load_own(replace(runs[0], own_data=other), tmp_path)
    (own_folder("rings", DIGEST, tmp_path) / "test_labels.npy").write_bytes(b"damaged")
    with pytest.raises(DataError, match="not there, or damaged; submit again"):
        load_own(runs[0], tmp_path)


def test_runs_with_own_files_are_trained_alone_and_others_together(runs: list[RunSpec]) -> None:
    own, plain = [replace(runs[0], repeat=repeat) for repeat in range(2)], [spec(repeat=repeat) for repeat in range(2)]
    assert groups_of([*own, *plain], 128) == [[own[0]], [own[1]], plain]


def test_the_name_of_a_copy_is_one_that_archives_allow() -> None:
    for name in ("what?.py", "a:b.py", "x" * 250 + ".py", "\N{GREEK SMALL LETTER ALPHA}" * 100 + ".py", "con.py"):
        copy = copy_name(name, b"")
        assert is_plain(copy) and copy.endswith(".py") and len(copy.encode()) <= 255
        assert copy_name(copy, b"") == copy
