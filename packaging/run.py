"""Set Featherweight up and start it: python3 packaging/run.py [MODEL.onnx]

With a screen the window opens. Without one the main job is done on the sample model, in the real window drawn
offscreen: what came out is printed, and the compressed file, the report and the screenshots are kept
(--out FOLDER, by default ./featherweight-demo).
"""

from __future__ import annotations

import os
import subprocess
import sys

import environment
import qt_libraries


def main(arguments: list[str]) -> int:
    try:
        qt_libraries.ensure()
        python = environment.ensure()
    except environment.SetupError as error:
        print(f"Set-up failed: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Set-up interrupted; the next start goes on", file=sys.stderr)
        return 130
    if has_screen():
        return subprocess.run([python, "-m", "gui", *arguments], check=False).returncode
    print("There is no screen: doing the main job on the sample model, offscreen", flush=True)
    offscreen = {**os.environ, "QT_QPA_PLATFORM": "offscreen"}
    return subprocess.run([python, "-m", "gui.demo", *arguments], env=offscreen, check=False).returncode


def has_screen() -> bool:
    if not sys.platform.startswith("linux"):
        return True
    if os.environ.get("QT_QPA_PLATFORM") in ("offscreen", "minimal"):
        return False
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
