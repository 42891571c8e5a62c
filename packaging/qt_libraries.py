"""The system libraries that Qt needs on Debian and its relatives. Standard library only."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

PACKAGES = (
    "fontconfig", "fonts-dejavu-core", "libdbus-1-3", "libegl1", "libfontconfig1", "libgl1", "libglib2.0-0",
    "libx11-xcb1", "libxcb-cursor0", "libxcb-icccm4", "libxcb-image0", "libxcb-keysyms1", "libxcb-randr0",
    "libxcb-render-util0", "libxcb-shape0", "libxcb-xinerama0", "libxcb-xkb1", "libxkbcommon-x11-0", "libxkbcommon0",
)


def ensure() -> None:
    """Install what is missing when we are root; otherwise say how. Never fails: Qt itself tells what it cannot find."""
    if not sys.platform.startswith("linux"):
        return
    if shutil.which("dpkg-query") is None or shutil.which("apt-get") is None:
        return  # another distribution; its PySide6 instructions apply
    lacking = missing()
    if not lacking:
        return
    command = ["apt-get", "install", "--yes", "--no-install-recommends", *lacking]
    if os.geteuid() != 0:
        print("Qt may need system libraries that are missing. Install them with:", flush=True)
        print(f"  sudo {' '.join(command)}", flush=True)
        return
    print(f"Installing Qt's system libraries: {' '.join(lacking)}", flush=True)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for step in (["apt-get", "update"], command):
        result = subprocess.run(step, capture_output=True, text=True, env=environment, check=False)
        if result.returncode != 0:
            said = (result.stderr or result.stdout).strip().splitlines()[-1:]
            print(f"{' '.join(step[:2])} failed ({' '.join(said)}); going on without", file=sys.stderr, flush=True)
            return


def missing() -> list[str]:
    """The packages that dpkg does not have installed. Newer releases call some of them NAMEt64."""
    names = [name for package in PACKAGES for name in (package, package + "t64")]
    query = ["dpkg-query", "--show", "--showformat", "${Package} ${db:Status-Status}\n", *names]
    listed = subprocess.run(query, capture_output=True, text=True, check=False).stdout.splitlines()
    installed = {line.split()[0] for line in listed if line.endswith(" installed")}
    return [package for package in PACKAGES if not {package, package + "t64"} & installed]
