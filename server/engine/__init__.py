"""Runs the graph."""

import os

# Before ONNX Runtime loads: by default it reports on its use to its makers.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
