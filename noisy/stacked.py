"""Several networks as one: the same layer of all networks is computed as one product."""

import itertools
from collections.abc import Iterator, Sequence
from typing import TypeGuard

import torch
from torch import nn
from torch.nn import functional


class Stacked:
    """Networks of one shape, side by side. None of them influences another.

    Linear layers become batched matrix products, and convolutions become grouped convolutions. Layers without parameters,
    such as the activation, may differ from network to network.

    Args:
        networks: made of Linear, Conv2d (3x3, padding 1) and layers without parameters. Layers with parameters must be at the
        same places in all networks. If networks are sorted by activation, neighbours share calls.
        device: where the weights are put.
    """

    def __init__(self, networks: Sequence[nn.Sequential], device: torch.device) -> None:
        segments = [_segments(network) for network in networks]
        self._steps = [_step(list(of_each), device) for of_each in zip(*segments, strict=True)]

    def parameters(self) -> Iterator[nn.Parameter]:
        """All weights and biases, each with a leading axis for the networks."""
        return itertools.chain.from_iterable(step.parameters() for step in self._steps)

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """float32 (networks, n, 1, 28, 28) -> logits (networks, n, classes)."""
        for step in self._steps:
            images = step(images)
        return images


def _segments(network: nn.Sequential) -> list[nn.Module]:
    """The layers with parameters, and between them the other layers, joined into one."""
    groups = itertools.groupby(network, key=lambda layer: layer if _has_parameters(layer) else None)
    return [key if key is not None else nn.Sequential(*layers) for key, layers in groups]


def _has_parameters(layer: nn.Module) -> TypeGuard[nn.Linear | nn.Conv2d]:
    return isinstance(layer, nn.Linear | nn.Conv2d)


def _step(layers: list[nn.Module], device: torch.device) -> nn.Module:
    if not _has_parameters(layers[0]):
        return _Between(layers)
    return (_Linear if isinstance(layers[0], nn.Linear) else _Convolution)(layers, device)


class _WithParameters(nn.Module):
    def __init__(self, layers: list[nn.Module], device: torch.device) -> None:
        super().__init__()
        self.weight, self.bias = (
            nn.Parameter(torch.stack([getattr(layer, name).detach() for layer in layers]).to(device))
            for name in ("weight", "bias")
        )


class _Linear(_WithParameters):
    """(networks, n, features in) -> (networks, n, features out)."""

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return torch.baddbmm(self.bias[:, None], values, self.weight.transpose(1, 2))


class _Convolution(_WithParameters):
    """(networks, n, channels in, height, width) -> (networks, n, channels out, height, width)."""

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        side_by_side = values.transpose(0, 1).flatten(1, 2)
        weight, bias = self.weight.flatten(0, 1), self.bias.flatten()
        found = functional.conv2d(side_by_side, weight, bias, padding=1, groups=len(self.weight))
        return found.unflatten(1, (len(self.weight), -1)).transpose(0, 1)


class _Between(nn.Module):
    """Layers without parameters, which may differ from network to network. Neighbours with the same layers share one call."""

    def __init__(self, layers: list[nn.Module]) -> None:
        super().__init__()
        groups = [list(group) for _, group in itertools.groupby(layers, key=str)]  # str gives a layer's type and its settings
        self._parts = nn.ModuleList(group[0] for group in groups)
        self._sizes = [len(group) for group in groups]

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        parts = [
            part(some.flatten(0, 1)).unflatten(0, some.shape[:2])
            for part, some in zip(self._parts, values.split(self._sizes), strict=True)
        ]
        return torch.cat(parts) if len(parts) > 1 else parts[0]
