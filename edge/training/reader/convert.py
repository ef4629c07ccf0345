"""Turn trained weights into the model that the station carries, half precision, with its manifest.

`python -m training.reader.convert --checkpoint FILE --held-out FILE --out cardmint_edge/models`
"""

import argparse
import json
import tempfile
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path

import litert_torch
import numpy as np
import torch
from ai_edge_litert.interpreter import Interpreter
from ai_edge_quantizer.qtyping import TFLOperationName
from ai_edge_quantizer.quantizer import AlgorithmName, Quantizer
from torch import Tensor, nn

from cardmint_edge.domain.lexicon import ALPHABET
from training.reader.draw import HEIGHT, WIDTH
from training.reader.network import STEPS, ReaderNetwork
from training.reader.train import score

VERSION = 1


class Converted(nn.Module):
    """A `.tflite` file in the place of a network."""

    def __init__(self, model: bytes) -> None:
        super().__init__()
        self._interpreter = Interpreter(model_content=model, num_threads=1)
        self._interpreter.allocate_tensors()

    def forward(self, strips: Tensor) -> Tensor:
        """Return logits, n x STEPS x classes."""
        [given], [made] = self._interpreter.get_input_details(), self._interpreter.get_output_details()
        said = []
        for strip in strips:
            self._interpreter.set_tensor(given["index"], strip[None].numpy())
            self._interpreter.invoke()
            said.append(self._interpreter.get_tensor(made["index"])[0])
        return torch.from_numpy(np.stack(said))


def convert(network: nn.Module) -> bytes:
    """Return the model's bytes, its weights in half precision."""
    full = litert_torch.convert(network.eval(), (torch.zeros(1, 1, HEIGHT, WIDTH),))
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


def main() -> None:
    """Convert by the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--held-out", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    torch.set_num_threads(1)
    state = torch.load(args.checkpoint, weights_only=True)
    network = ReaderNetwork()
    network.load_state_dict(state["kept"])
    model = convert(network)
    read = score(Converted(model), args.held_out)
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "reader.tflite").write_bytes(model)
    manifest = {
        "name": "reader",
        "version": VERSION,
        "file": "reader.tflite",
        "sha256": sha256(model).hexdigest(),
        "alphabet": ALPHABET,
        "input": [1, 1, HEIGHT, WIDTH],
        "output": [1, STEPS, len(ALPHABET) + 1],
        "made": f"edge/training/reader: {state['seen']} lines seen in {state['spent'] / 60:.0f} minutes",
        "scored": {"on": "drawn lines in fonts held out from training", **asdict(read)},
    }
    text = json.dumps(manifest, indent=2, ensure_ascii=False) + "\n"
    (args.out / "reader.json").write_text(text, encoding="utf-8")
    print(text)  # noqa: T201


if __name__ == "__main__":
    main()
