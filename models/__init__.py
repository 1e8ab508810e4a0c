"""Frozen backbones: bytes in, embedding out. Imports nothing of the other packages."""

import os

# ONNX Runtime reports usage to its makers unless told not to before it is imported; nothing leaves this machine.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
