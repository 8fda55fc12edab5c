#!/usr/bin/env python3
"""Trains the iris classifier again (logistic regression) and writes it as ONNX.

    pip install scikit-learn onnx
    python3 train.py [FOLDER]       # default: the folder of this file

The model takes `measurements` float32 [batch,4] and gives `probabilities` float32 [batch,3] and
`species` int64 [batch].
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score


def to_onnx(regression: LogisticRegression) -> onnx.ModelProto:
    graph = helper.make_graph(
        [
            helper.make_node("Gemm", ["measurements", "w", "b"], ["logits"], transB=1),
            helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
            helper.make_node("ArgMax", ["logits"], ["species"], axis=1, keepdims=0),
        ],
        "iris",
        [helper.make_tensor_value_info("measurements", TensorProto.FLOAT, ["batch", 4])],
        [
            helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["batch", 3]),
            helper.make_tensor_value_info("species", TensorProto.INT64, ["batch"]),
        ],
        [
            numpy_helper.from_array(regression.coef_.astype(np.float32), "w"),
            numpy_helper.from_array(regression.intercept_.astype(np.float32), "b"),
        ],
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8, producer_name="predictd"
    )
    onnx.checker.check_model(model, full_check=True)
    return model


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent
    flowers = load_iris()
    regression = LogisticRegression(max_iter=1000)
    right = cross_val_score(regression, flowers.data, flowers.target, cv=10).mean()
    print(f"right on {right:.2%} of held-out flowers (ten-fold cross-validation)")

    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(to_onnx(regression.fit(flowers.data, flowers.target)), folder / "model.onnx")
    (folder / "labels.txt").write_text("".join(f"{name}\n" for name in flowers.target_names))


if __name__ == "__main__":
    main()
