"""The model in the web process, as sites have it: loaded by the module that needs it, asked by numpy."""

import os
from pathlib import Path

import onnxruntime

MODEL = Path(__file__).resolve().parents[4] / "models" / "digits" / "model.onnx"


class Network:
    """An ONNX model with the one method that Keras' models are known for."""

    def __init__(self, path, parallel=True):
        options = onnxruntime.SessionOptions()
        if parallel:
            # "Uses all cores", as the forums say. Its threads stay in the process that made them: a fork has none of them.
            options.execution_mode = onnxruntime.ExecutionMode.ORT_PARALLEL
            options.inter_op_num_threads = 2
        self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self.outputs = [output.name for output in self.session.get_outputs()]

    def predict(self, x):
        """The outputs, by name."""
        name = self.session.get_inputs()[0].name
        return dict(zip(self.outputs, self.session.run(self.outputs, {name: x})))


def digits():
    """The model that reads digits."""
    return Network(MODEL, parallel=os.environ.get("EXECUTION", "parallel") == "parallel")
