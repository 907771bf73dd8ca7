"""The built-in networks. Input: float32 (n, channels, height, width); output: logits float32 (n, n_classes)."""

import itertools
import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from noisy.extend import Activation, activation, find, model
from noisy.spec import RunSpec, Stream

activation("relu", never_decreases=True)(nn.ReLU)
activation("tanh", never_decreases=True)(nn.Tanh)
activation("sigmoid", never_decreases=True)(nn.Sigmoid)


@activation("leaky_relu", never_decreases=True)
class LeakyReLU(nn.LeakyReLU):
    """With the slope 0.1."""

    def __init__(self) -> None:
        super().__init__(0.1)


activation("gelu")(nn.GELU)


@model("mlp")
def mlp(
    activation: Activation, image_shape: tuple[int, int, int], n_classes: int, hidden_sizes: Sequence[int]
) -> nn.Sequential:
    """Flatten, then linear + activation for each hidden size, then linear to the classes."""
    sizes = (math.prod(image_shape), *hidden_sizes)
    hidden = [layer for n_in, n_out in itertools.pairwise(sizes) for layer in (nn.Linear(n_in, n_out), activation())]
    return nn.Sequential(nn.Flatten(), *hidden, nn.Linear(sizes[-1], n_classes))


@model("cnn")
def cnn(activation: Activation, image_shape: tuple[int, int, int], n_classes: int) -> nn.Sequential:
    """Two blocks of convolution 3x3 (32, then 64 channels), activation, max-pooling 2; then linear 128, activation, linear."""
    channels, height, width = image_shape
    if min(height, width) < 4:
        raise ValueError(f"images of {height} x {width}; allowed: at least 4 x 4, since cnn halves both twice")
    return nn.Sequential(
        *_block(channels, 32, activation),
        *_block(32, 64, activation),
        nn.Flatten(),
        nn.Linear(64 * (height // 4) * (width // 4), 128),
        activation(),
        nn.Linear(128, n_classes),
    )


def _block(in_channels: int, out_channels: int, activation: Activation) -> list[nn.Module]:
    """Convolution, activation and pooling. If the activation never decreases, pooling comes first, which saves work."""
    convolution = nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1)
    between = [activation(), nn.MaxPool2d(2)]
    return [convolution, *(reversed(between) if activation.never_decreases else between)]


IMAGES_AT_ONCE = {"mlp": 512, "cnn": 64}  # more images at a time would take more memory, but hardly less time


def images_at_once(run: RunSpec) -> int:
    """How many images are handled at a time. An own model gets whole batches, since it may compute statistics of a batch."""
    return IMAGES_AT_ONCE.get(run.model_type, run.batch_size)


def build_model(spec: RunSpec, n_classes: int) -> nn.Module:
    """The network of `spec` on the CPU, with its initial weights. Global random generators are not used.

    Weights and biases of a built-in model are uniform on [-1/sqrt(fan_in), 1/sqrt(fan_in)], which is torch's default
    (torch.nn.Linear.reset_parameters: Kaiming uniform with a = sqrt(5)). They are drawn from the run's WEIGHTS stream, because
    torch's CPU generator uses only 32 bits of a seed. An own model draws from torch's generator: see
    `noisy.extend.own_random_numbers`.

    Raises:
        ExtensionError: the run's own files were not loaded.
    """
    build = find("model", spec.model_type, spec.extensions)
    arguments = find("activation", spec.activation, spec.extensions), spec.data.shape, n_classes
    if spec.has_own_model:
        return build(*arguments)
    with torch.random.fork_rng(devices=[]):  # torch draws initial weights, which are all replaced below
        network = build(*arguments, spec.hidden_sizes) if spec.hidden_sizes else build(*arguments)
    generator = spec.generator(Stream.WEIGHTS)
    for layer in network:
        if isinstance(layer, nn.Linear | nn.Conv2d):
            bound = 1 / math.sqrt(layer.weight[0].numel())
            for parameter in layer.parameters():  # first the weights, then the biases
                values = parameter.detach()
                generator.random(out=values.numpy(), dtype=np.float32)
                values.mul_(2 * bound).sub_(bound)
    return network
