"""The networks and their names. Input: float32 (n, 1, 28, 28); output: logits float32 (n, n_classes)."""

import itertools
import math
from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from noisy.spec import IMAGE_SIZE_PX, RunSpec, Stream

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "leaky_relu": lambda: nn.LeakyReLU(0.1),
    "gelu": nn.GELU,
}
_NEVER_DECREASING = ("relu", "tanh", "sigmoid", "leaky_relu")  # such a function can be exchanged with a maximum


def mlp(spec: RunSpec, n_classes: int) -> nn.Sequential:
    """Flatten, then linear + activation for each hidden size, then linear to the classes."""
    sizes = (IMAGE_SIZE_PX**2, *(spec.hidden_sizes or ()))
    hidden = [
        layer for n_in, n_out in itertools.pairwise(sizes) for layer in (nn.Linear(n_in, n_out), ACTIVATIONS[spec.activation]())
    ]
    return nn.Sequential(nn.Flatten(), *hidden, nn.Linear(sizes[-1], n_classes))


def cnn(spec: RunSpec, n_classes: int) -> nn.Sequential:
    """Two blocks of convolution 3x3 (32, then 64 channels), activation, max-pooling 2; then linear 128, activation, linear."""
    activation = ACTIVATIONS[spec.activation]
    return nn.Sequential(
        *_block(1, 32, spec.activation),
        *_block(32, 64, spec.activation),
        nn.Flatten(),
        nn.Linear(64 * (IMAGE_SIZE_PX // 4) ** 2, 128),
        activation(),
        nn.Linear(128, n_classes),
    )


def _block(in_channels: int, out_channels: int, activation: str) -> list[nn.Module]:
    """Convolution, activation and pooling. If the activation never decreases, pooling comes first, which saves work."""
    convolution = nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1)
    between = [ACTIVATIONS[activation](), nn.MaxPool2d(2)]
    return [convolution, *(reversed(between) if activation in _NEVER_DECREASING else between)]


MODELS: dict[str, Callable[[RunSpec, int], nn.Sequential]] = {"mlp": mlp, "cnn": cnn}
IMAGES_AT_ONCE = {"mlp": 512, "cnn": 64}  # more images at a time would take more memory, but hardly less time


def build_model(spec: RunSpec, n_classes: int) -> nn.Sequential:
    """The network of `spec` on the CPU, with its initial weights. Global random generators are not used.

    Weights and biases are uniform on [-1/sqrt(fan_in), 1/sqrt(fan_in)], which is torch's default
    (torch.nn.Linear.reset_parameters: Kaiming uniform with a = sqrt(5)). They are drawn from the run's WEIGHTS stream, because
    torch's CPU generator uses only 32 bits of
    a seed.
    """
    with torch.random.fork_rng(devices=[]):  # torch draws initial weights, which are all replaced below
        model = MODELS[spec.model_type](spec, n_classes)
    generator = spec.generator(Stream.WEIGHTS)
    for layer in model:
        if isinstance(layer, nn.Linear | nn.Conv2d):
            bound = 1 / math.sqrt(layer.weight[0].numel())
            for parameter in layer.parameters():  # first the weights, then the biases
                values = parameter.detach()
                generator.random(out=values.numpy(), dtype=np.float32)
                values.mul_(2 * bound).sub_(bound)
    return model
