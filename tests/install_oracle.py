"""Install the PyTorch oracle if its CPU build is to be had in under 300 MB; else say so.

The gradient tests always compare with central differences in float64; PyTorch is a second oracle.
On some platforms the index serves only a CUDA build of several gigabytes: that one is not taken.
"""

import json
import subprocess
import sys
import urllib.request
from pathlib import Path

REQUIREMENT = "torch==2.13.0"
MOST_BYTES = 300_000_000


def wheel_url() -> str | None:
    """Return where pip would take the wheel from, without taking it."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--no-deps"]
    command += ["--ignore-installed", "--only-binary=:all:", "--report", "-", REQUIREMENT]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    if answer.returncode:
        return None
    return str(json.loads(answer.stdout)["install"][0]["download_info"]["url"])


def size_bytes(url: str) -> int | None:
    """Return the size of the wheel."""
    if url.startswith("file:"):
        return Path(urllib.request.url2pathname(url.removeprefix("file://"))).stat().st_size
    request = urllib.request.Request(url, method="HEAD")
    with urllib.request.urlopen(request, timeout=30) as answer:
        length = answer.headers.get("Content-Length")
    return int(length) if length else None


def main() -> None:
    """Install or explain; never fail, for the oracle is optional."""
    url = wheel_url()
    size = size_bytes(url) if url else None
    if size is None or size > MOST_BYTES:
        found = "none is to be had" if url is None else f"this one has {size} bytes"
        print(f"{REQUIREMENT}: a wheel under {MOST_BYTES} bytes is wanted, {found}: skipped")
        return
    command = [sys.executable, "-m", "pip", "install", "--quiet", REQUIREMENT]
    if subprocess.run(command, check=False).returncode:
        print(f"{REQUIREMENT}: could not be installed: skipped")


if __name__ == "__main__":
    main()
