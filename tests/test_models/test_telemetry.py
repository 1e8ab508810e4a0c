"""Nothing leaves this machine."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_onnx_runtime_is_told_not_to_report_before_it_is_imported():
    program = (
        "import sys, models, os; assert 'onnxruntime' not in sys.modules; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    )
    environment = {"PATH": "/usr/bin", "HOME": "/nonexistent"}
    seen = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    assert seen.stdout == "1\n"
