"""The model in the web process, as sites have it: loaded by the module that needs it, asked by numpy."""

import os

import onnxruntime
from django.conf import settings


class Network:
    """An ONNX model with the one method that Keras' models are known for.

    One output is an array, several are a dict of them by name.
    """

    def __init__(self, path, parallel=True):
        options = onnxruntime.SessionOptions()
        if parallel:
            # "Uses all cores", as the forums say. Its threads stay in the process that made them: a fork has none of them.
            options.execution_mode = onnxruntime.ExecutionMode.ORT_PARALLEL
            options.inter_op_num_threads = 2
        self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self.outputs = [output.name for output in self.session.get_outputs()]

    def predict(self, x):
        """Runs the model."""
        name = self.session.get_inputs()[0].name
        arrays = self.session.run(self.outputs, {name: x})
        return arrays[0] if len(arrays) == 1 else dict(zip(self.outputs, arrays))


def digits():
    """The model that reads digits."""
    return Network(settings.MODELS / "digits/model.onnx", parallel=os.environ.get("EXECUTION", "parallel") == "parallel")
