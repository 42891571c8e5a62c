"""The window paints before anything heavy is imported, in a fresh process."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
HEAVY = ("torch", "onnxruntime", "scipy", "netron", "numba", "onnx", "onnx_ir")
PROGRAM = f"""
import time
started = time.perf_counter()
import json, sys
from pathlib import Path
from gui import late
late.LateStart = lambda window: None  # what follows the first paint is not this test's business
from gui.app import start
from gui.settings import Settings
from PySide6.QtWidgets import QApplication
app = QApplication([])
window = start(app, Settings(Path(sys.argv[1])))
def painted():
    loaded = [name for name in {HEAVY!r} if name in sys.modules]
    print(json.dumps({{"seconds": time.perf_counter() - started, "loaded": loaded}}))
    window.close()
    app.quit()
window.firstPaint.connect(painted)
window.show()
app.exec()
"""


def test_first_paint_needs_nothing_heavy(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM, str(tmp_path)], cwd=ROOT, capture_output=True, text=True,
                          timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    print(f"first paint after {found['seconds']:.2f} s")
    assert found["loaded"] == []


def test_importing_the_program_in_the_worker_loads_no_qt() -> None:
    """The worker imports the main module again; Qt there would cost every Compress time and memory."""
    code = "import sys, gui.app, gui.worker; print([m for m in sys.modules if m.startswith('PySide6')])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
