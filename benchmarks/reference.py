"""A plain textbook trainer, slow and obviously right. Tests use it as an oracle, benchmarks as a baseline.

No production code imports it, and it does not share models, batches, noise or random streams with production. It draws from
torch's global generator, uses torch's own initial weights, and handles images one at a time. It shares only the meaning of a
RunSpec and the files of the staged data.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, Subset

from noisy.data import stage
from noisy.spec import RunSpec


def get_activation(name: str) -> nn.Module:
    """The activation with this name."""
    if name == "relu":
        return nn.ReLU()
    if name == "tanh":
        return nn.Tanh()
    if name == "sigmoid":
        return nn.Sigmoid()
    if name == "leaky_relu":
        return nn.LeakyReLU(0.1)
    if name == "gelu":
        return nn.GELU()
    raise ValueError(f"activation: {name!r}: the reference knows relu, tanh, sigmoid, leaky_relu, gelu")


class MLP(nn.Module):
    """Fully connected classifier: float32 (n, 1, 28, 28) to logits float32 (n, 10)."""

    def __init__(self, activation: str, hidden_sizes: tuple[int, ...] = (256, 128)) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Flatten()]
        in_dim = 28 * 28
        for hidden in hidden_sizes:
            layers.append(nn.Linear(in_dim, hidden))
            layers.append(get_activation(activation))
            in_dim = hidden
        layers.append(nn.Linear(in_dim, 10))
        self.net = nn.Sequential(*layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.net(x)


class SimpleCNN(nn.Module):
    """Two convolution blocks and a small classifier: float32 (n, 1, 28, 28) to logits float32 (n, 10)."""

    def __init__(self, activation: str) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 32, kernel_size=3, padding=1),
            get_activation(activation),
            nn.MaxPool2d(2),
            nn.Conv2d(32, 64, kernel_size=3, padding=1),
            get_activation(activation),
            nn.MaxPool2d(2),
        )
        self.classifier = nn.Sequential(
            nn.Flatten(),
            nn.Linear(64 * 7 * 7, 128),
            get_activation(activation),
            nn.Linear(128, 10),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.classifier(self.features(x))


def build_model(spec: RunSpec) -> nn.Module:
    """The network of `spec`, with torch's own initial weights from the global generator."""
    return MLP(spec.activation, spec.hidden_sizes) if spec.model_type == "mlp" else SimpleCNN(spec.activation)


def corrupt_pixels(x: torch.Tensor, p: float) -> torch.Tensor:
    """`x`, float32 of any shape in [0, 1], with each pixel replaced with probability `p` by a uniform value in [0, 1)."""
    if p <= 0:
        return x
    mask = torch.rand_like(x) < p
    return torch.where(mask, torch.rand_like(x), x)


class CorruptedDataset(Dataset):
    """Pairs (image float32 (1, 28, 28) in [0, 1], label), the image corrupted afresh each time that it is asked for."""

    def __init__(self, base: Dataset, p: float) -> None:
        self.base = base
        self.p = p

    def __len__(self) -> int:
        return len(self.base)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        x, y = self.base[index]
        return corrupt_pixels(x, self.p), y


def _limit_dataset(base: Dataset, max_samples: int | None) -> Dataset:
    if max_samples is None:
        return base
    return Subset(base, range(min(max_samples, len(base))))


def get_dataloaders(spec: RunSpec, data_dir: str | Path) -> tuple[DataLoader, DataLoader]:
    """Loaders of the corrupted training set, shuffled, and of the clean test set.

    Raises:
        noisy.data.DataError: the data set is not under `data_dir` and cannot be put there.
    """
    from torchvision import datasets, transforms  # here: it takes as long to load as torch

    stage(spec.dataset, data_dir)
    digits = type("Digits", (datasets.MNIST,), {})  # torchvision looks for a class's files in a folder of its name
    named = {"mnist": datasets.MNIST, "fashion_mnist": datasets.FashionMNIST, "kmnist": datasets.KMNIST, "digits": digits}
    dataset = named[spec.dataset]
    train_base = dataset(str(data_dir), train=True, transform=transforms.ToTensor())
    test_base = dataset(str(data_dir), train=False, transform=transforms.ToTensor())
    train_set = CorruptedDataset(_limit_dataset(train_base, spec.max_train_samples), spec.p)
    train_loader = DataLoader(train_set, batch_size=spec.batch_size, shuffle=True, num_workers=0)
    return train_loader, DataLoader(test_base, batch_size=spec.batch_size, shuffle=False, num_workers=0)


def train_one_epoch(model: nn.Module, loader: DataLoader, optimizer: torch.optim.Optimizer, device: torch.device) -> float:
    """Train on every batch once; mean loss per image in nats."""
    criterion = nn.CrossEntropyLoss()
    model.train()
    total_loss = 0.0
    for x, y in loader:
        x, y = x.to(device), y.to(device)
        optimizer.zero_grad(set_to_none=True)
        loss = criterion(model(x), y)
        loss.backward()
        optimizer.step()
        total_loss += loss.item() * len(y)
    return total_loss / len(loader.dataset)


def evaluate(model: nn.Module, loader: DataLoader, device: torch.device) -> tuple[float, float]:
    """Mean loss per image in nats, and accuracy in [0, 1], on all images of `loader`."""
    criterion = nn.CrossEntropyLoss()
    model.eval()
    total_loss, n_right = 0.0, 0
    with torch.no_grad():
        for x, y in loader:
            x, y = x.to(device), y.to(device)
            logits = model(x)
            total_loss += criterion(logits, y).item() * len(y)
            n_right += (logits.argmax(dim=1) == y).sum().item()
    return total_loss / len(loader.dataset), n_right / len(loader.dataset)


def train_and_evaluate(spec: RunSpec, data_dir: str | Path) -> dict[str, Any]:
    """Train and score one run on one thread of the CPU. Seeds torch's global generator from (seed, repeat).

    Returns:
        test_accuracy, test_loss: after the last epoch, a fraction and nats; train_loss_history, test_loss_history,
        test_accuracy_history: lists of one float per epoch.
    """
    torch.set_num_threads(1)
    torch.manual_seed(int(np.random.SeedSequence([spec.seed, spec.repeat]).generate_state(1)[0]))
    device = torch.device("cpu")
    train_loader, test_loader = get_dataloaders(spec, data_dir)
    model = build_model(spec).to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=spec.learning_rate, weight_decay=spec.weight_decay)
    history: dict[str, list[float]] = {"train_loss_history": [], "test_loss_history": [], "test_accuracy_history": []}
    for _ in range(spec.epochs):
        history["train_loss_history"].append(train_one_epoch(model, train_loader, optimizer, device))
        test_loss, test_accuracy = evaluate(model, test_loader, device)
        history["test_loss_history"].append(test_loss)
        history["test_accuracy_history"].append(test_accuracy)
    return {"test_accuracy": test_accuracy, "test_loss": test_loss, **history}
