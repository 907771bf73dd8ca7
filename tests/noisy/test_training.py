"""Laws of a whole run, against an oracle that does everything one step and one image at a time."""

import copy
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from benchmarks import reference
from noisy.batches import scale, training_batches
from noisy.data import Data
from noisy.device import fast_arithmetic
from noisy.models import build_model
from noisy.optimizer import Adam
from noisy.processor import this_processor
from noisy.result import RunResult
from noisy.spec import ACTIVATION_NAMES, MODEL_TYPES, Execution, RunSpec, as_trained
from noisy.training import train
from tests.commands import ROOT
from tests.specs import spec


def _same_bits(a: RunResult, b: RunResult) -> bool:
    numbers = [f.name for f in fields(RunResult) if f.name not in ("status", "usage")]
    same = all(np.array_equal(getattr(a, name), getattr(b, name), equal_nan=True) for name in numbers)
    return same and a.status == b.status


def _fewer(digits: Data) -> Data:
    """The data set with its first 99 test images: most of the time of a small run is that of its test set."""
    return replace(digits, test_images=digits.test_images[:99], test_labels=digits.test_labels[:99])


BFLOAT16 = pytest.mark.skipif(this_processor().bfloat16_refusal != "", reason=this_processor().bfloat16_refusal)
SMALL = {"mlp": spec(), "cnn": spec(model_type="cnn", epochs=1, max_train_samples=200)}
EVERY_RUN = [
    pytest.param(replace(shape, activation=activation, precision=precision), marks=time + others)
    for shape, time in ((SMALL["mlp"], []), (spec(model_type="cnn", batch_size=20, max_train_samples=30), [pytest.mark.slow]))
    for activation in ACTIVATION_NAMES
    for precision, others in (("float32", []), ("bfloat16", [BFLOAT16]))
]


def _name(run: RunSpec) -> str:
    return f"{run.model_type}-{run.activation}-{run.precision}"


@pytest.mark.parametrize("run", EVERY_RUN, ids=_name)
def test_one_spec_gives_one_result_and_another_repeat_another(run: RunSpec, digits: Data) -> None:
    data = _fewer(digits)
    first = train(run, data)
    assert _same_bits(first, train(run, data))
    other = train(replace(run, repeat=1), data)
    assert not np.array_equal(first.train_loss, other.train_loss)


TWINS = {
    "p": ({"p": 0.3}, {"p": 0.1 + 0.2}),
    "small p": ({"p": 1e-9}, {"p": 1e-10}),
    "p near 1": ({"p": 1.0}, {"p": 1 - 1e-9}),
    "weight_decay": ({"weight_decay": 0.0}, {"weight_decay": 1e-50}),
    "max_train_samples": ({"max_train_samples": None}, {"max_train_samples": 1442}),
    "batch_size": ({"max_train_samples": None, "batch_size": 1442}, {"max_train_samples": 1442, "batch_size": 5000}),
    "batch_size of fewer": ({"max_train_samples": 100, "batch_size": 100}, {"max_train_samples": 100, "batch_size": 128}),
}
OTHERS = {
    "p": ({"p": 0.3}, {"p": 0.3001}),
    "weight_decay": ({"weight_decay": 0.1}, {"weight_decay": 0.1001}),
    "learning_rate": ({"learning_rate": 0.001}, {"learning_rate": 0.0010001}),
    "max_train_samples": ({"max_train_samples": None}, {"max_train_samples": 1441}),
    "batch_size": ({"batch_size": 300}, {"batch_size": 299}),
}


@pytest.mark.parametrize(
    ("pair", "are_one"), [*((pair, True) for pair in TWINS.values()), *((pair, False) for pair in OTHERS.values())]
)
def test_values_that_a_grid_may_not_list_both_are_one_training(pair: tuple, are_one: bool, digits: Data) -> None:
    one, other = (spec(**{"epochs": 1, "max_train_samples": 300, **changes}) for changes in pair)
    assert _same_bits(train(one, _fewer(digits)), train(other, _fewer(digits))) == are_one
    (n_one, n_other) = (run.n_train_samples() for run in (one, other))
    assert are_one == all(
        n_one == n_other and as_trained(name, getattr(one, name), n_one) == as_trained(name, getattr(other, name), n_other)
        for name in ("p", "learning_rate", "weight_decay", "batch_size")
    )


@pytest.fixture(scope="module")
def fresh(digits_dir: Path) -> tuple[list[RunSpec], list[str]]:
    """Some runs, and what a fresh process printed: two losses of each, and which libraries were then loaded."""
    runs = [*SMALL.values(), *([] if this_processor().bfloat16_refusal else [spec(precision="bfloat16")])]
    program = (
        "import sys; import jobs.task; from noisy import data, spec, training\n"
        "for text in sys.argv[2:]:\n"
        "    result = training.train(spec.spec_of(text), data.load('digits', sys.argv[1]))\n"
        "    print(result.train_loss.tobytes().hex(), result.test_loss.tobytes().hex())\n"
        "print({'torchvision', 'torch._dynamo', 'torch._inductor', 'sympy', 'scipy', 'sklearn', 'pandas'} & set(sys.modules))"
    )
    command = [sys.executable, "-c", program, str(digits_dir), *(run.canonical_json() for run in runs)]
    return runs, subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()


@pytest.mark.slow
def test_a_fresh_process_finds_the_same_bits(fresh: tuple[list[RunSpec], list[str]], digits: Data) -> None:
    """Its memory lies elsewhere, and nothing was computed in it before."""
    runs, printed = fresh
    results = [train(run, digits) for run in runs]
    assert printed[:-1] == [" ".join(loss.tobytes().hex() for loss in (one.train_loss, one.test_loss)) for one in results]


@pytest.mark.slow
def test_a_worker_loads_nothing_that_it_does_not_use(fresh: tuple[list[RunSpec], list[str]]) -> None:
    """Each of these costs every worker tens of megabytes and tenths of a second."""
    assert fresh[1][-1] == "set()"


@pytest.mark.slow  # the first optimizer of torch imports torch._dynamo, which takes a second or two
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_adam_is_torchs_adam(weight_decay: float) -> None:
    generator = torch.Generator().manual_seed(0)
    ours = [nn.Parameter(torch.randn(size, generator=generator)) for size in ((30, 20), (30,))]
    theirs = copy.deepcopy(ours)
    adam, oracle = Adam(ours, 0.01, weight_decay), torch.optim.Adam(theirs, lr=0.01, weight_decay=weight_decay, foreach=False)
    for _ in range(20):
        for mine, its in zip(ours, theirs, strict=True):
            mine.grad = torch.randn(mine.shape, generator=generator)
            its.grad = mine.grad.clone()
        adam.step(), oracle.step()
        assert all(mine.grad is None for mine in ours)
    for mine, its in zip(ours, theirs, strict=True):
        assert (mine - its).abs().max() < 1e-6


@BFLOAT16
@pytest.mark.parametrize("run", SMALL.values(), ids=_name)
def test_bfloat16_rounds_and_learns_the_same(run: RunSpec, digits: Data) -> None:
    run, data = replace(run, epochs=3), _fewer(digits)
    exact, rounded = train(run, data), train(replace(run, precision="bfloat16"), data)
    assert not np.array_equal(exact.train_loss, rounded.train_loss)
    assert rounded.train_loss == pytest.approx(exact.train_loss, rel=0.05)
    assert rounded.test_loss == pytest.approx(exact.test_loss, rel=0.05)


@pytest.mark.skipif(this_processor().bfloat16_refusal == "", reason="bfloat16 pays here")
def test_bfloat16_is_refused_where_it_is_slower(digits: Data) -> None:
    with pytest.raises(RuntimeError, match=r"precision: bfloat16 on .*: this processor has neither .*; set precision: float32"):
        train(spec(precision="bfloat16"), digits)


def test_what_was_set_for_the_process_is_set_again(digits: Data) -> None:
    denormal = torch.tensor([1e-40])
    before = torch.get_float32_matmul_precision()
    with fast_arithmetic(torch.device("cpu")):
        assert (denormal * 1).item() == 0
    train(spec(epochs=1, max_train_samples=100), digits)
    assert torch.get_float32_matmul_precision() == before
    assert (denormal * 1).item() > 0


@pytest.mark.parametrize("data_workers", [1, 2, 5])
def test_who_prepares_the_batches_changes_no_bit(data_workers: int, digits: Data) -> None:
    run = spec(batch_size=32)
    assert _same_bits(train(run, digits), train(run, digits, Execution(data_workers=data_workers)))


def _epoch(run: RunSpec, digits: Data, epoch: int = 0) -> tuple[np.ndarray, np.ndarray, list[int]]:
    """Images and labels of one epoch in their order, and the sizes of its batches."""
    batches = list(training_batches(run, digits, epoch))
    images, labels = (np.concatenate(arrays) for arrays in zip(*batches, strict=True))
    return images, labels, [len(batch[1]) for batch in batches]


@pytest.mark.parametrize("limit", [None, 300])
def test_an_epoch_is_every_image_once_with_its_label(limit: int | None, digits: Data) -> None:
    images, labels, sizes = _epoch(spec(p=0.0, batch_size=100, max_train_samples=limit), digits)
    n_images = limit or 1_442
    assert sizes == [100] * (n_images // 100) + ([n_images % 100] if n_images % 100 else [])
    assert images.dtype == np.float32 and images.shape == (n_images, 1, 28, 28) and labels.dtype == np.int64
    first = zip(map(bytes, scale(digits.train_images[:n_images]).numpy()), digits.train_labels[:n_images].tolist(), strict=True)
    assert sorted(zip(map(bytes, images), labels.tolist(), strict=True)) == sorted(first)


def test_images_are_scaled_as_by_totensor(digits_dir: Path, digits: Data) -> None:
    _, test_loader = reference.get_dataloaders(spec(), digits_dir)
    expected = torch.cat([images for images, _ in test_loader]).numpy()
    assert np.array_equal(scale(digits.test_images).numpy(), expected)
    every_value = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    assert np.array_equal(scale(every_value).numpy(), every_value[:, None] / np.float32(255))


def test_the_order_is_shared_by_a_repeat_and_new_in_each_epoch(digits: Data) -> None:
    _, labels, _ = _epoch(spec(), digits)
    for other in (spec(p=0.9), spec(activation="gelu"), spec(model_type="cnn"), spec(batch_size=7), spec(epochs=9)):
        assert np.array_equal(_epoch(other, digits)[1], labels)
    orders = [labels, _epoch(spec(), digits, epoch=1)[1], _epoch(spec(repeat=1), digits)[1], _epoch(spec(seed=9), digits)[1]]
    assert len({order.tobytes() for order in orders}) == 4


def test_the_noise_is_shared_by_a_repeat_and_new_in_each_epoch_and_batch(digits: Data) -> None:
    clean, _, _ = _epoch(spec(p=0.0), digits)
    noisy, _, _ = _epoch(spec(p=0.5), digits)
    assert np.array_equal(_epoch(spec(p=0.5, model_type="cnn", activation="tanh"), digits)[0], noisy)
    more, _, _ = _epoch(spec(p=0.6), digits)
    assert (more != clean)[noisy != clean].mean() > 0.999  # all, but where a new value happens to be the old one
    changed = noisy[:256] != clean[:256]
    next_epoch = _epoch(spec(p=0.5), digits, epoch=1)[0][:256] != _epoch(spec(p=0.0), digits, epoch=1)[0][:256]
    for one, other in ((changed[:128], changed[128:]), (changed, next_epoch)):
        assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 5 / one.size**0.5


def _slow_batch(run: RunSpec, digits: Data, epoch: int, batch: int, rows: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """What batch number `batch` must be, pixel by pixel from its definition."""
    seeds = np.random.SeedSequence(run.seed, spawn_key=(2, run.repeat, epoch, batch))
    u = np.random.Generator(np.random.SFC64(seeds)).random((len(rows), 1, 28, 28), dtype=np.float32)
    images = []
    for row, u_of_image in zip(rows, torch.from_numpy(u), strict=True):
        image = torch.from_numpy(np.array(digits.train_images[row])).reshape(1, 28, 28) / 255
        images.append(torch.where(u_of_image < run.p, u_of_image / run.p, image) if run.p > 0 else image)
    return torch.stack(images), torch.tensor([int(digits.train_labels[row]) for row in rows])


def _slow_run(run: RunSpec, digits: Data) -> tuple[list[float], list[float], np.ndarray]:
    """Training loss and test loss per epoch, and which test images are right at the end."""
    plain = reference.build_model(run)
    for theirs, ours in zip(plain.parameters(), build_model(run, 10).parameters(), strict=True):
        theirs.data.copy_(ours.data)
    adam = {"lr": run.learning_rate, "weight_decay": run.weight_decay, "foreach": False, "fused": False}
    optimizer = torch.optim.Adam(plain.parameters(), **adam)
    train_losses, test_losses = [], []
    for epoch in range(run.epochs):
        seeds = np.random.SeedSequence(run.seed, spawn_key=(1, run.repeat, epoch))
        order = np.random.Generator(np.random.SFC64(seeds)).permutation(run.n_train_samples())
        losses = []
        for batch, start in enumerate(range(0, len(order), run.batch_size)):
            images, labels = _slow_batch(run, digits, epoch, batch, order[start : start + run.batch_size])
            optimizer.zero_grad()
            loss = nn.CrossEntropyLoss(reduction="none")(plain(images), labels)
            loss.mean().backward()
            optimizer.step()
            losses += loss.tolist()
        train_losses.append(sum(losses) / len(losses))
        with torch.no_grad():
            logits = plain(torch.from_numpy(np.array(digits.test_images))[:, None] / 255)
            labels = torch.from_numpy(digits.test_labels.astype(np.int64))
            test_losses.append(nn.CrossEntropyLoss()(logits, labels).item())
    return train_losses, test_losses, (logits.argmax(dim=1) == labels).numpy()


@pytest.mark.slow
@pytest.mark.parametrize(
    "run",
    [
        spec(p=0.0),
        spec(p=0.5, activation="gelu", hidden_sizes=(64, 32), weight_decay=0.01, batch_size=100, epochs=3, repeat=2),
        spec(p=1.0, activation="sigmoid", learning_rate=0.01),
        spec(p=0.3, model_type="cnn", activation="tanh", weight_decay=0.1, batch_size=50, max_train_samples=120),
    ],
)
def test_a_run_is_what_the_slow_oracle_computes(run: RunSpec, digits: Data) -> None:
    result = train(run, digits)
    train_losses, test_losses, right = _slow_run(run, digits)
    assert result.train_loss.tolist() == pytest.approx(train_losses, rel=1e-4)
    assert result.test_loss.tolist() == pytest.approx(test_losses, rel=1e-4)
    assert (np.unpackbits(result.correct, count=355) != right).sum() <= 2  # images on the border between two classes


def test_max_train_samples_sees_the_first_images_only(digits: Data) -> None:
    run = spec(max_train_samples=200)
    without_the_rest = replace(digits, train_images=digits.train_images[:200], train_labels=digits.train_labels[:200])
    assert _same_bits(train(run, digits), train(run, without_the_rest))
    assert _same_bits(train(spec(), digits), train(spec(max_train_samples=10_000), digits))


@pytest.mark.slow
@pytest.mark.parametrize("activation", ACTIVATION_NAMES)
def test_every_activation_learns_clean_digits(activation: str, digits: Data) -> None:
    result = train(spec(p=0.0, activation=activation, epochs=6, learning_rate=0.003, batch_size=32), digits)
    assert result.status == "ok"
    assert result.test_accuracy[-1] > 0.9
    assert result.train_loss[-1] < result.train_loss[0]


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_the_parts_of_a_result_agree(model_type: str, digits: Data) -> None:
    run = spec(model_type=model_type, max_train_samples=100)
    result = train(run, digits)
    assert result.n_test == 355
    assert result.correct.dtype == np.uint8 and result.correct.shape == (45,)
    assert np.unpackbits(result.correct).sum() == result.n_correct  # so the bits that fill the last byte are 0
    assert result.test_accuracy[-1] == result.n_correct / result.n_test
    for history in (result.train_loss, result.test_loss, result.test_accuracy):
        assert history.dtype == np.float64 and history.shape == (run.epochs,) and np.isfinite(history).all()
    assert result.n_parameters == sum(parameter.numel() for parameter in build_model(run, 10).parameters())
    assert result.usage.peak_mem_mb > 50
    assert result.usage.cpu_s > 0 and result.usage.wall_s > 0


def test_chance_is_one_class_for_nearly_all_test_images_in_every_epoch(digits: Data) -> None:
    """At p = 1 nothing can be learned; so high a rate drives the output's biases apart, and one class wins always."""
    result = train(spec(p=1.0, activation="sigmoid", learning_rate=0.1, epochs=3), digits)
    assert result.status == "chance"
    right = np.unpackbits(result.correct, count=result.n_test).astype(bool)
    (label,) = set(digits.test_labels[right])
    assert result.n_correct == (digits.test_labels == label).sum()


@pytest.mark.parametrize(
    "run",
    [
        spec(p=0.9, activation="tanh", learning_rate=0.01),  # one class after the first epoch, then more
        spec(p=0.3, activation="tanh", learning_rate=3.0, repeat=1),  # the other way round
    ],
)
def test_one_epoch_of_several_classes_is_not_chance(run: RunSpec, digits: Data) -> None:
    first_epoch = train(replace(run, epochs=1), digits)
    assert first_epoch.status == ("chance" if run.learning_rate == 0.01 else "ok")
    result = train(run, digits)
    assert result.test_accuracy[0] == first_epoch.test_accuracy[0]
    assert result.status == "ok"


def test_divergence_ends_the_run_and_is_said(digits: Data) -> None:
    result = train(spec(learning_rate=1e30, epochs=3), digits)
    assert result.status == "diverged"
    assert not np.isfinite(result.train_loss[0])
    for history in (result.train_loss, result.test_loss, result.test_accuracy):
        assert np.isnan(history[1:]).all()
    assert np.unpackbits(result.correct).sum() == result.n_correct <= result.n_test


def test_a_last_step_that_leaves_no_finite_weights_is_divergence(digits: Data) -> None:
    """One batch: its loss is finite, and only the test set shows what its step did."""
    result = train(spec(learning_rate=1e30, epochs=1, max_train_samples=128), digits)
    assert np.isfinite(result.train_loss[0]) and not np.isfinite(result.test_loss[0])
    assert result.status == "diverged"


def test_use_cuda_never_falls_back_to_the_cpu(digits: Data) -> None:
    run, execution = spec(epochs=1), Execution(use_cuda=True)
    if torch.cuda.is_available():
        train(run, digits, execution)
        assert torch.cuda.max_memory_allocated() > 0
    else:
        with pytest.raises(RuntimeError, match=r"use_cuda: true, but .* sees no CUDA device .*; set use_cuda: false"):
            train(run, digits, execution)


@pytest.mark.parametrize("cpu_threads", [1, 2])
def test_the_number_of_threads_is_set(cpu_threads: int, digits: Data) -> None:
    train(spec(epochs=1, max_train_samples=128), digits, Execution(cpu_threads=cpu_threads))
    assert torch.get_num_threads() == cpu_threads
