"""Films for the demonstration and the tests: made, and looked at, with ffmpeg alone.

**What is counted is decoded**: a container's own idea of its length is not believed.
"""

import math
import re
import subprocess
from pathlib import Path

from nanoboost import tools
from nanoboost.errors import UserError

_DURATION = re.compile(r"Duration: (\d+):(\d+):(\d+\.\d+)")


def make_film(path: Path, source: Path | None, seconds: float) -> None:
    """Make a film of at least `seconds` at `path` (a .mkv): `source`, looped, or a generated one
    with motion, sound and a keyframe each second."""
    if source is None:
        picture = f"testsrc2=size=640x360:rate=25:duration={seconds},noise=alls=8:allf=t"
        sound = f"sine=frequency=330:beep_factor=4:duration={seconds}"
        ffmpeg(
            *("-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", sound),
            *("-c:v", "libx264", "-preset", "ultrafast", "-crf", "28", "-g", "25"),
            *("-pix_fmt", "yuv420p", "-c:a", "aac", str(path)),
        )
        return
    loops = max(0, math.ceil(seconds / duration(source)) - 1)
    ffmpeg(
        *("-stream_loop", str(loops), "-i", str(source), "-map", "0:V:0", "-map", "0:a?"),
        *("-c", "copy", str(path)),
    )


def duration(path: Path) -> float:
    """How long a film lasts, in seconds."""
    found = _DURATION.search(_run("-i", str(path)).stderr)
    if found is None:
        raise UserError(f"{path} is no film: ffmpeg finds no duration in it")
    return int(found[1]) * 3600 + int(found[2]) * 60 + float(found[3]) or 0.001


def count_frames(path: Path) -> int:
    """How many frames the film has when it is decoded."""
    told = ffmpeg(
        *("-i", str(path), "-map", "0:V:0", "-fps_mode", "passthrough", "-f", "null"),
        *("-progress", "pipe:1", "-"),
    )
    return int(re.findall(r"^frame=\s*(\d+)", told, re.MULTILINE)[-1])


def has_audio(path: Path) -> bool:
    """Whether the film has an audio stream with at least one frame that can be decoded."""
    first = ("-map", "0:a:0", "-frames:a", "1", "-f", "framecrc", "-")
    done = _run("-v", "error", "-i", str(path), *first)
    lines = done.stdout.splitlines()
    return done.returncode == 0 and any(not line.startswith("#") for line in lines)


def ffmpeg(*arguments: str) -> str:
    """Run ffmpeg; return what it printed; `UserError` with its last complaint if it fails."""
    done = _run("-v", "error", "-y", *arguments)
    if done.returncode != 0:
        raise UserError(f"ffmpeg: {(done.stderr.strip().splitlines() or ['it failed'])[-1]}")
    return done.stdout


def _run(*arguments: str) -> "subprocess.CompletedProcess[str]":
    program = tools.find("ffmpeg")
    if program is None:
        raise UserError(
            "ffmpeg is not installed here: apt install ffmpeg, or pip install imageio-ffmpeg"
        )
    return subprocess.run(
        [program, "-nostdin", "-hide_banner", *arguments],
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
