"""Compresses a film on all machines: cut it, compress the pieces wherever each ends first, merge.

    nanoboost run video_compression.py --video films/a.mkv --chunks 64 --crf 23

The result is `a.compressed.mkv` at the root of the NAS: the film's picture, compressed, and all of
its audio streams, metadata and chapters.  **Every frame of the source is in the result once**: each
step counts what it made, by decoding it, and fails rather than lose one.

A film is cut where it has keyframes, without touching its data, if the pieces decode to exactly the
frames of the film.  If not (open GOPs, too few keyframes), the pieces are a lossless copy, which is
large.  A film with fewer frames than `--chunks` is refused.  Timestamps are the source's, to a
millisecond, also where the frame rate varies.
"""

import json
import re
import subprocess
import sys
from bisect import bisect_right
from collections.abc import Sequence
from fractions import Fraction
from itertools import accumulate, pairwise
from pathlib import Path
from typing import NamedTuple

from nanoboost import Input, Nano, NanoGraph, Needs, Output, Param

FFMPEG = Needs(tools=("ffmpeg",))
THREADS = ("-threads", "1")  # a machine runs one Compress on each core
DECODER_THREADS = ("-threads", "2")  # a film is cut while nothing else can run
KEEP_FRAMES = ("-fps_mode", "passthrough")  # never drop or double one to even out the rate
KEEP_TIMES = ("-enc_time_base", "1:90000")
COPY = ("-c:v", "copy")
LOSSLESS = ("-c:v", "libx264", "-preset", "ultrafast", "-qp", "0", *DECODER_THREADS)
UNEVEN_MAX = 1.5  # how much longer than the mean a piece may be that ends at a keyframe

TOLERANCE_S = Fraction(2, 1000)  # Matroska counts milliseconds


class Frame(NamedTuple):
    """A decoded frame: when it is shown, and a checksum of its picture."""

    shown_s: Fraction
    checksum: str


class FilmError(Exception):
    """What is wrong with a film, in one line."""


class Cut(Nano):
    """Cuts a film into exactly `chunks` pieces that together have all of its frames."""

    needs = FFMPEG
    video = Input()
    chunks = Param(int, min=1, max=9999)
    pieces = Output("chunks/{video.stem}/{i:04d}.mkv", many="chunks")
    index = Output("chunks/{video.stem}/index.json")

    def run(self) -> None:
        """Cut at keyframes; if that will not do, cut a lossless copy."""
        film = frames(self, self.video)
        if len(film) < self.chunks:
            raise FilmError(
                f"{self.video.name} has {len(film)} frames, too few for {self.chunks} chunks: "
                f"say --chunks {max(len(film), 1)} or less"
            )
        starts = self.starts_at_keyframes(film)
        counts = self.cut(film, starts, COPY) if starts else []
        if not counts:
            print("the keyframes will not do: the pieces are a lossless copy")
            starts = [number * len(film) // self.chunks for number in range(self.chunks)]
            counts = self.cut(film, starts, LOSSLESS)
        if not counts:
            raise FilmError(f"{self.video.name} cannot be cut without losing a frame")
        firsts = accumulate(counts[:-1], initial=0)
        times = [float(film[first].shown_s) for first in firsts]
        self.index.write_text(json.dumps({"times": times, "counts": counts}))

    def starts_at_keyframes(self, film: Sequence[Frame]) -> list[int]:
        """The first frame of each piece, at a keyframe near where it should be; [] if none is."""
        key_times = {key.shown_s for key in frames(self, self.video, "-skip_frame", "nokey")}
        keys = [number for number, frame in enumerate(film) if frame.shown_s in key_times]
        mean = len(film) / self.chunks
        starts = [0]
        for number in range(1, self.chunks):
            later = keys[bisect_right(keys, starts[-1]) :]
            if not later:
                return []
            starts.append(min(later, key=lambda key: abs(key - number * mean)))
        longest = max(end - start for start, end in pairwise([*starts, len(film)]))
        return starts if longest <= UNEVEN_MAX * mean + 1 else []

    def cut(self, film: Sequence[Frame], starts: Sequence[int], codec: Sequence[str]) -> list[int]:
        """Make the pieces; return how many frames each has, or [] if they are not the film."""
        numbers = ",".join(map(str, starts[1:])) or str(len(film) + 1)
        between = [(film[start - 1].shown_s + film[start].shown_s) / 2 for start in starts[1:]]
        forced = ",".join(f"{float(time_s):.6f}" for time_s in between) or "0"
        try:
            ffmpeg(
                self,
                *(*DECODER_THREADS, "-i", str(self.video), "-map", "0:V:0", "-map_metadata", "-1"),
                *(*codec, "-force_key_frames", forced, *KEEP_FRAMES, *KEEP_TIMES),
                *("-f", "segment", "-segment_frames", numbers, "-segment_format", "matroska"),
                *("-reset_timestamps", "1", "%04d.mkv"),
                directory=self.pieces[0].parent,
            )
            found = [frames(self, piece) for piece in self.pieces]
        except FilmError as error:
            print(error)
            return []
        counts = [len(piece) for piece in found]
        return counts if is_the_film(film, found, compare_pictures=codec == COPY) else []


def is_the_film(
    film: Sequence[Frame], pieces: Sequence[Sequence[Frame]], *, compare_pictures: bool
) -> bool:
    """Whether the pieces, one after the other, are the film.  (A lossless copy of a rare pixel
    format may be a converted one; its pictures cannot be compared.)"""
    if sum(map(len, pieces)) != len(film) or not all(pieces):
        return False
    rest = iter(film)
    for piece in pieces:
        for number, (found, wanted) in enumerate(zip(piece, rest, strict=False)):
            if not number:
                begin_s = wanted.shown_s - found.shown_s
            if abs(wanted.shown_s - found.shown_s - begin_s) > TOLERANCE_S:
                return False
            if compare_pictures and found.checksum != wanted.checksum:
                return False
    return True


class Compress(Nano):
    """Compresses one piece."""

    needs = FFMPEG
    piece = Input()
    codec = Param(str, default="libx264", choices=("libx264", "libx265"))
    crf = Param(int, default=23, min=0, max=51)
    preset = Param(str, default="medium")
    compressed = Output("compressed/{piece.stem}.mkv")

    def run(self) -> None:
        """Encode the piece; count its frames."""
        bounds = ("-x265-params", "pools=1:frame-threads=1:repeat-headers=1:log-level=error")
        ffmpeg(
            self,
            *(*THREADS, "-i", str(self.piece), "-map", "0:V:0", *KEEP_FRAMES, *KEEP_TIMES),
            *("-c:v", self.codec, "-crf", str(self.crf), "-preset", self.preset, *THREADS),
            *(bounds if self.codec == "libx265" else ()),
            *("-f", "matroska", str(self.compressed)),
        )
        wanted, found = len(frames(self, self.piece)), len(frames(self, self.compressed))
        if found != wanted:
            raise FilmError(f"{found} frames after compression, {wanted} before")


class Merge(Nano):
    """Joins the compressed pieces and takes the audio from the source."""

    needs = FFMPEG
    video = Input()
    index = Input()
    pieces = Input(many=True)
    film = Output("{video.stem}.compressed.mkv")

    def run(self) -> None:
        """Join; copy the audio, or encode it where it cannot be copied; count the frames."""
        index = json.loads(self.index.read_text())
        times: list[float] = index["times"]
        wanted = sum(index["counts"])
        lines = ["ffconcat version 1.0"]
        for piece, (start, end) in zip(
            self.pieces, pairwise([*times, times[-1] + 1.0]), strict=True
        ):
            quoted = str(piece).replace("'", r"'\''")
            lines += [f"file '{quoted}'", f"duration {end - start:.6f}"]
        Path("pieces.ffconcat").write_text("\n".join(lines[:-1]))
        try:
            self.join(times[0], "copy")
        except FilmError as error:
            print(f"the audio cannot be copied ({error}): it is encoded")
            self.join(times[0], "aac")
        found = len(frames(self, self.film))
        if found != wanted:
            raise FilmError(f"{found} frames after merging, {wanted} in {self.video.name}")

    def join(self, begin_s: float, audio: str) -> None:
        """Write the film; its picture begins `begin_s` after the film does."""
        ffmpeg(
            self,
            *("-itsoffset", f"{begin_s:.6f}", "-f", "concat", "-safe", "0"),
            *("-i", "pieces.ffconcat", "-i", str(self.video)),
            *("-map", "0:v:0", "-map", "1:a?", "-map_metadata", "1", "-map_chapters", "1"),
            *("-c:v", "copy", "-c:a", audio, "-f", "matroska", str(self.film)),
        )


class VideoCompression(NanoGraph):
    """Cut, Compress for each piece, Merge."""

    video = Input()
    chunks = Param(int, default=16, min=1, max=9999)
    codec = Param(str, default="libx264", choices=("libx264", "libx265"))
    crf = Param(int, default=23, min=0, max=51)
    preset = Param(str, default="medium")

    def build(self) -> Merge:
        """Link the pieces."""
        cut = Cut(video=self.video, chunks=self.chunks)
        compressed = [
            Compress(piece=piece, codec=self.codec, crf=self.crf, preset=self.preset).compressed
            for piece in cut.pieces
        ]
        return Merge(video=self.video, index=cut.index, pieces=compressed)


def ffmpeg(nano: Nano, *arguments: str, directory: Path | None = None) -> str:
    """Run ffmpeg and return what it prints; its complaints go to the log."""
    done = subprocess.run(
        [nano.tool("ffmpeg"), "-nostdin", "-hide_banner", "-v", "error", "-y", *arguments],
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        cwd=directory,
    )
    sys.stderr.write(done.stderr)
    if done.returncode != 0:
        complaint = re.sub(r"^(\[[^]]*\] )*", "", done.stderr.strip()).partition("\n")[0]
        raise FilmError(f"ffmpeg: {complaint or f'it ended with {done.returncode}'}")
    return done.stdout


def frames(nano: Nano, film: Path, *options: str) -> list[Frame]:
    """All frames of a film as they are shown, decoded."""
    try:
        told = ffmpeg(
            nano,
            *(*options, *DECODER_THREADS, "-i", str(film), "-map", "0:V:0"),
            *(*KEEP_FRAMES, *KEEP_TIMES, "-f", "framecrc", "-"),
        )
    except FilmError as error:
        raise FilmError(
            f"{film.name} is no film with a picture that can be read: {error}"
        ) from None
    unit = Fraction(1, 90000)
    found = []
    for line in told.splitlines():
        if line.startswith("#tb 0:"):
            unit = Fraction(line.removeprefix("#tb 0:").strip())
        elif not line.startswith("#"):
            _stream, _dts, shown, _duration, _size, checksum = line.split(",")[:6]
            found.append(Frame(int(shown) * unit, checksum.strip()))
    return found
