import subprocess
import sys

PROGRAM = """
import sys
import adapters.adapt, adapters.manifest, adapters.dataset, adapters.methods
from adapters.heads import AffineHead, read_tables, tables_bytes
import numpy as np
read_tables(tables_bytes(AffineHead(np.ones((2, 3), np.float32), np.ones(2, np.float32), ("a", "b")), 1.0))
adapters.methods.parse_method("auto")
print(sorted({"torch", "onnx", "onnxruntime", "transformers", "sklearn"} & set(sys.modules)))
"""


def test_importing_adapters_and_reading_tables_loads_nothing_heavy():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
