"""Begin a training run from the model that a station carries, instead of from chance.

A `.tflite` file has the convolutions with their normalisation folded in. They are unfolded by the
statistics of some strips, layer by layer; layers that the file lacks begin as almost no change.

`python -m cardmint_lab.training.reader.warm_start --model FILE --data DIR --out DIR`
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray
from torch import Tensor, nn

from cardmint_lab.training.files import load, some
from cardmint_lab.training.reader.network import Along, Deep, ReaderNetwork, normalised
from cardmint_lab.training.run import Run

STRIPS = 512

KNOWN_ALONG = 4
"""Convolutions along the line that the model of version 3 has; later ones have all."""


def folded(model: Path) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Return weights (out x in x height x width) and biases of a model's convolutions, in order."""
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
    network: ReaderNetwork,
    layers: list[tuple[NDArray[np.float32], NDArray[np.float32]]],
    strips: Tensor,
) -> None:
    """Put folded convolutions into a network that has all of them, and perhaps more."""
    left = iter(layers)
    convolutions = sum(isinstance(one, nn.Conv2d) for one in network.modules())
    added: set[nn.Module] = set()
    if len(layers) < convolutions:
        added = {one for one in network.front if isinstance(one, Deep)}
        added |= set(network.line[KNOWN_ALONG:])
    x = strips
    blocks = iter([*network.front, *network.line])
    for block in blocks:
        if isinstance(block, nn.Conv2d):
            norm = next(blocks)
            assert isinstance(norm, nn.BatchNorm2d)
            x = next(blocks)(_unfold_one(block, norm, next(left), x))
        elif block in added:
            x = block.train()(x)
        else:
            assert isinstance(block, Along | Deep)
            conv, norm, _ = block.body
            assert isinstance(conv, nn.Conv2d)
            assert isinstance(norm, nn.BatchNorm2d)
            x = x + torch.relu(_unfold_one(conv, norm, next(left), x))
    weight, bias = next(left)
    network.head.weight.copy_(torch.from_numpy(np.ascontiguousarray(weight)))
    assert network.head.bias is not None
    network.head.bias.copy_(torch.from_numpy(bias))


def _unfold_one(
    conv: nn.Conv2d,
    norm: nn.BatchNorm2d,
    layer: tuple[NDArray[np.float32], NDArray[np.float32]],
    x: Tensor,
) -> Tensor:
    """Fill a convolution and its normalisation so that they give what the folded one gives."""
    weight, bias = layer
    conv.weight.copy_(torch.from_numpy(np.ascontiguousarray(weight)))
    seen = conv(x)
    mean, variance = seen.mean(dim=(0, 2, 3)), seen.var(dim=(0, 2, 3), unbiased=False)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    norm.running_mean.copy_(mean)
    norm.running_var.copy_(variance)
    norm.weight.copy_(torch.sqrt(variance + norm.eps))
    norm.bias.copy_(torch.from_numpy(bias) + mean)
    return seen + torch.from_numpy(bias)[None, :, None, None]


def main() -> None:
    """Write a checkpoint, unless there is one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    checkpoint = args.out / "checkpoint.pt"
    if checkpoint.exists():
        print(f"{checkpoint}: a run is there already")
        return
    args.out.mkdir(parents=True, exist_ok=True)
    run = Run.start(ReaderNetwork, checkpoint)
    strips = load(some(args.data, "drawn", 1, np.random.default_rng(1)), ("strips",))[0][:STRIPS]
    unfold(run.network, folded(args.model), normalised(torch.from_numpy(strips)))
    run.kept.load_state_dict(run.network.state_dict())
    run.save(checkpoint)


if __name__ == "__main__":
    main()
