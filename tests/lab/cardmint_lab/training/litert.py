"""Conversion of trained weights to the station's `.tflite` file, with its manifest.

Weights are stored in half precision.
"""

import argparse
import json
import tempfile
from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path

import litert_torch
import numpy as np
import torch
from ai_edge_litert.interpreter import Interpreter
from ai_edge_quantizer.qtyping import TFLOperationName
from ai_edge_quantizer.quantizer import AlgorithmName, Quantizer
from torch import Tensor, nn


class Converted(nn.Module):
    """A `.tflite` file in the place of a network."""

    def __init__(self, model: bytes) -> None:
        super().__init__()
        self._interpreter = Interpreter(model_content=model, num_threads=1)
        self._interpreter.allocate_tensors()
        [given], [made] = (
            self._interpreter.get_input_details(),
            self._interpreter.get_output_details(),
        )
        self.input, self.output = [[int(side) for side in one["shape"]] for one in (given, made)]
        self._given, self._made = given["index"], made["index"]

    def forward(self, samples: Tensor) -> Tensor:
        """Return what the file makes of each sample."""
        said = []
        for sample in samples:
            self._interpreter.set_tensor(self._given, sample[None].contiguous().numpy())
            self._interpreter.invoke()
            said.append(self._interpreter.get_tensor(self._made)[0])
        return torch.from_numpy(np.stack(said))


def convert(network: nn.Module, sample: Tensor) -> bytes:
    """Return the model's bytes, its convolutions' weights in half precision.

    `sample` has the input's shape.
    """
    full = litert_torch.convert(network.eval(), (sample,))
    with tempfile.TemporaryDirectory() as folder:
        full.export(str(Path(folder) / "full.tflite"))
        quantizer = Quantizer(str(Path(folder) / "full.tflite"))
        quantizer.add_weight_only_config(
            regex=".*",
            operation_name=TFLOperationName.CONV_2D,
            num_bits=16,
            algorithm_key=AlgorithmName.FLOAT_CASTING,
        )
        return bytes(quantizer.quantize().quantized_model)


def write(out: Path, name: str, version: int, model: bytes, facts: Mapping[str, object]) -> None:
    """Write `<name>.tflite` and its manifest, and print the manifest."""
    shapes = Converted(model)
    manifest = {
        "name": name,
        "version": version,
        "file": f"{name}.tflite",
        "sha256": sha256(model).hexdigest(),
        "input": shapes.input,
        "output": shapes.output,
        **facts,
    }
    out.mkdir(parents=True, exist_ok=True)
    (out / f"{name}.tflite").write_bytes(model)
    text = json.dumps(manifest, indent=2, ensure_ascii=False) + "\n"
    (out / f"{name}.json").write_text(text, encoding="utf-8")
    print(text)


def by_command_line(
    name: str,
    version: int,
    network: nn.Module,
    sample: Tensor,
    *,
    seen: str,
    score: Callable[[nn.Module, Path], Mapping[str, object]],
) -> None:
    """Convert a checkpoint's kept weights as the command line says.

    `score` gives facts for the manifest.

    `seen` says what the checkpoint counted.
    """
    parser = argparse.ArgumentParser(
        description=f"Turn trained weights into the {name} that the station carries."
    )
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--held-out", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    torch.set_num_threads(1)
    state = torch.load(args.checkpoint, weights_only=True)
    network.load_state_dict(state["kept"])
    model = convert(network, sample)
    minutes = state["spent"] / 60
    made = f"cardmint_lab.training.{name}: {state['seen']} {seen} seen in {minutes:.0f} minutes"
    write(args.out, name, version, model, {"made": made, **score(Converted(model), args.held_out)})
