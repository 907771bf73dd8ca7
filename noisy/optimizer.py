"""Adam without the modules that torch.optim's classes load, which are not needed and cost a worker 150 MB and a CPU second."""

from collections.abc import Iterable
from itertools import compress

import torch
from torch import nn
from torch.optim.adam import adam


class Adam:
    """Adam as in Kingma and Ba (arXiv 1412.6980) with torch's defaults, computed by torch's own fused kernel.

    Args:
        parameters: all on one device. A step does not change those that have no gradient.
        learning_rate: step size, above 0.
        weight_decay: L2 penalty that is added to the gradient, as in torch.optim.Adam.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], learning_rate: float, weight_decay: float) -> None:
        self._parameters = list(parameters)
        self._values = [parameter.detach() for parameter in self._parameters]  # views of the same memory without autograd
        self._means, self._squares = ([torch.zeros_like(value) for value in self._values] for _ in range(2))
        self._steps = [torch.zeros((), device=value.device) for value in self._values]
        self._learning_rate, self._weight_decay = learning_rate, weight_decay

    def step(self) -> None:
        """Update the parameters by their gradients, then clear the gradients."""
        gradients = [parameter.grad for parameter in self._parameters]
        state = [self._values, self._means, self._squares, self._steps]
        if any(gradient is None for gradient in gradients):  # as of layers that an own model did not use
            state = [list(compress(some, (gradient is not None for gradient in gradients))) for some in state]
        values, means, squares, steps = state
        adam(
            values,
            [gradient for gradient in gradients if gradient is not None],
            means,
            squares,
            [],
            steps,
            foreach=False,
            fused=True,
            amsgrad=False,
            beta1=0.9,
            beta2=0.999,
            lr=self._learning_rate,
            weight_decay=self._weight_decay,
            eps=1e-8,
            maximize=False,
        )
        for parameter in self._parameters:
            parameter.grad = None
