#!/usr/bin/env python3
"""NVIDIA's tritonclient against a predictd with the models of /models and /tests/data/models.

    tests/clients/triton.py HOST:PORT

Every case runs with its blocking client and with its asynchronous one. Exits with 1 if one failed.
"""

import sys

import triton_connections  # noqa: F401  each registers its cases
import triton_metadata  # noqa: F401
import triton_options  # noqa: F401
import triton_refusals  # noqa: F401
import triton_tensors  # noqa: F401
from triton_clients import run_cases

if __name__ == "__main__":
    run_cases(*sys.argv[1:])
