"""Begin a training run from the model that a station carries, instead of from chance.

A `.tflite` file has the convolutions with their normalisation folded in. They are unfolded by the
statistics of some samples, layer by layer, in the order in which they run; layers that the file
lacks begin as almost no change.
"""

import argparse
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray
from torch import Tensor, nn

from cardmint_lab.training.run import Run

Layer = tuple[NDArray[np.float32], NDArray[np.float32]]
"""Weights (out x in x height x width) and biases of a convolution."""


def folded(model: Path) -> list[Layer]:
    """Return a model's convolutions, in order."""
    interpreter = Interpreter(model_path=str(model), experimental_preserve_all_tensors=True)
    interpreter.allocate_tensors()
    half: dict[int, int] = {}
    found = []
    for operation in interpreter._get_ops_details():  # noqa: SLF001 - the only way to the order
        name, inputs, outputs = (operation[key] for key in ("op_name", "inputs", "outputs"))
        if name == "DEQUANTIZE":
            half[int(outputs[0])] = int(inputs[0])
        elif name in {"CONV_2D", "DEPTHWISE_CONV_2D"}:
            weights, bias = int(inputs[1]), int(inputs[2])
            kernel = interpreter.get_tensor(half.get(weights, weights)).astype(np.float32)
            # A depthwise kernel of one input channel is 1 x height x width x out.
            order = (0, 3, 1, 2) if name == "CONV_2D" else (3, 0, 1, 2)
            found.append((kernel.transpose(order), interpreter.get_tensor(bias)))
    return found


@torch.no_grad()
def unfold(
    network: nn.Module,
    layers: list[Layer],
    samples: Tensor,
    added: Collection[nn.Module] = (),
) -> None:
    """Put folded convolutions into a network that has all of them, and those in `added`.

    Each normalisation gets the statistics of what it is given, and undoes them.

    Raises:
        ValueError: the network has more or fewer convolutions, or others.
    """
    new = {part for module in added for part in module.modules()}
    left = iter(layers)
    biases: list[NDArray[np.float32]] = []

    def fill(convolution: nn.Module, _: Any) -> None:
        weight, bias = next(left, (np.zeros(0, np.float32), np.zeros(0, np.float32)))
        assert isinstance(convolution, nn.Conv2d)
        if weight.shape != tuple(convolution.weight.shape):
            message = f"the model has no convolution of {tuple(convolution.weight.shape)} there"
            raise ValueError(message)
        convolution.weight.copy_(torch.from_numpy(np.ascontiguousarray(weight)))
        if convolution.bias is None:
            biases.append(bias)
        else:
            convolution.bias.copy_(torch.from_numpy(bias))

    def undo(norm: nn.Module, given: tuple[Tensor, ...]) -> None:
        assert isinstance(norm, nn.BatchNorm2d)
        assert norm.running_mean is not None
        assert norm.running_var is not None
        mean = given[0].mean(dim=(0, 2, 3))
        variance = given[0].var(dim=(0, 2, 3), unbiased=False)
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(variance)
        norm.weight.copy_(torch.sqrt(variance + norm.eps))
        norm.bias.copy_(torch.from_numpy(biases.pop()) + mean)

    network.eval()
    hooks = []
    for part in network.modules():
        if part in new:
            part.train()
        elif isinstance(part, nn.Conv2d):
            hooks.append(part.register_forward_pre_hook(fill))
        elif isinstance(part, nn.BatchNorm2d):
            hooks.append(part.register_forward_pre_hook(undo))
    network(samples)
    for hook in hooks:
        hook.remove()
    if next(left, None) is not None:
        message = "the model has more convolutions than the network"
        raise ValueError(message)


def by_command_line(
    about: str | None,
    make: Callable[[], nn.Module],
    samples_of: Callable[[Path], Tensor],
    added_to: Callable[[Any, list[Layer]], Collection[nn.Module]] = lambda *_: (),
) -> None:
    """Write a checkpoint, unless there is one.

    `samples_of` reads samples as the network takes them from a folder, `added_to` returns the
    network's parts that the model lacks.
    """
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    checkpoint = args.out / "checkpoint.pt"
    if checkpoint.exists():
        print(f"{checkpoint}: a run is there already")
        return
    args.out.mkdir(parents=True, exist_ok=True)
    run = Run.start(make, checkpoint)
    layers = folded(args.model)
    unfold(run.network, layers, samples_of(args.data), added_to(run.network, layers))
    run.kept.load_state_dict(run.network.state_dict())
    run.save(checkpoint)
