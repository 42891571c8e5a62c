"""Files are there whole or not at all, whatever happens on the way."""

import errno
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from core.data.options import DataOptions
from core.errors import TargetError
from core.exporting import staging
from core.exporting.staging import check_distinct, check_target, clean_leftovers, files_read, staged, write_atomic


@pytest.fixture(params=["unnamed", "folder"])
def way(request, monkeypatch):
    """Both ways of staging: a file without a name, and the hidden folder where there is no such thing."""
    if request.param == "folder":
        monkeypatch.setattr(staging, "_unnamed_file", lambda folder: None)
    elif staging._unnamed_file(Path("/tmp")) is None:
        pytest.skip("this system has no files without a name")
    return request.param


def test_a_committed_file_has_its_whole_content(tmp_path, way):
    target = tmp_path / "a.bin"
    with staged(target) as stage:
        stage.write(b"x" * 1000)
        assert stage.nbytes == 1000
        assert stage.path.read_bytes() == b"x" * 1000
        assert not target.exists()
        stage.commit()
    assert target.read_bytes() == b"x" * 1000
    assert os.listdir(tmp_path) == ["a.bin"]


def test_a_file_replaces_the_older_one(tmp_path, way):
    target = tmp_path / "a.bin"
    target.write_bytes(b"old")
    write_atomic(target, b"new")
    assert target.read_bytes() == b"new"


def test_nothing_is_left_when_it_was_not_committed(tmp_path, way):
    target = tmp_path / "a.bin"
    target.write_bytes(b"old")
    with pytest.raises(RuntimeError), staged(target) as stage:
        stage.write(b"half")
        raise RuntimeError
    assert target.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.bin"]


def test_a_full_disk_is_a_sentence_and_leaves_nothing(tmp_path, way, monkeypatch):
    target = tmp_path / "a.bin"

    def full(self, data):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(staging.Staging, "write", full)
    with pytest.raises(TargetError, match="disk is full") as caught:
        write_atomic(target, b"x")
    assert str(target) in str(caught.value)
    assert os.listdir(tmp_path) == []


def test_the_source_is_never_a_target(tmp_path):
    source = tmp_path / "model.onnx"
    source.write_bytes(b"x")
    (tmp_path / "link.onnx").symlink_to(source)
    for target in (source, tmp_path / "link.onnx", tmp_path / "." / "model.onnx"):
        with pytest.raises(TargetError, match="original model"):
            check_target(target, source)


def test_a_missing_folder_and_a_folder_as_target_are_refused(tmp_path):
    with pytest.raises(TargetError, match="does not exist"):
        check_target(tmp_path / "no" / "a.onnx")
    with pytest.raises(TargetError, match="is a folder"):
        check_target(tmp_path)


def test_leftovers_of_dead_runs_are_removed_and_those_of_living_ones_stay(tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    for pid in (dead.pid, os.getpid()):
        (tmp_path / f".a.onnx.{pid}.featherweight-part").mkdir()
    assert [p.name for p in clean_leftovers(tmp_path)] == [f".a.onnx.{dead.pid}.featherweight-part"]
    assert os.listdir(tmp_path) == [f".a.onnx.{os.getpid()}.featherweight-part"]


def test_a_killed_process_leaves_no_partial_file(tmp_path):
    target = tmp_path / "a.bin"
    target.write_bytes(b"old")
    script = textwrap.dedent(f"""
        import os, signal
        from pathlib import Path
        from core.exporting.staging import staged
        with staged(Path({str(target)!r})) as stage:
            stage.write(b"half")
            os.kill(os.getpid(), signal.SIGKILL)
    """)
    root = Path(staging.__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", script], cwd=root, env={**os.environ, "PYTHONPATH": str(root)})
    assert done.returncode == -signal.SIGKILL
    clean_leftovers(tmp_path)
    assert target.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.bin"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_or_a_device_is_no_target(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for target in (tmp_path / "pipe", Path(os.devnull)):
        with pytest.raises(TargetError, match="a device or a pipe"):
            check_target(target)


def test_names_too_long_are_refused_and_the_longest_possible_one_is_written(tmp_path):
    longest = tmp_path / ("x" * os.pathconf(tmp_path, "PC_NAME_MAX"))
    staging.write_atomic(longest, b"all of it")
    assert longest.read_bytes() == b"all of it" and os.listdir(tmp_path) == [longest.name]
    for target in (tmp_path / f"{longest.name}x", tmp_path / f"{longest.name}x" / "a.onnx", tmp_path / "a\0b"):
        with pytest.raises(TargetError):
            check_target(target)


def test_nothing_in_a_folder_that_is_read_is_replaced(tmp_path):
    picture = tmp_path / "pictures" / "cat" / "a.png"
    picture.parent.mkdir(parents=True)
    picture.write_bytes(b"a")
    link = tmp_path / "link"
    link.symlink_to(picture.parent)
    for target in (picture, link / "a.png"):
        with pytest.raises(TargetError, match="files that are read"):
            check_target(target, also_read=[tmp_path / "pictures"])
    check_target(tmp_path / "pictures" / "new.html", also_read=[tmp_path / "pictures"])
    check_target(picture, also_read=[tmp_path / "missing"])


def test_a_persons_own_metric_is_among_the_files_that_are_read(tmp_path):
    metric = tmp_path / "metric.py"
    metric.write_text("def f(outputs, labels, inputs): return 1.0")
    read = files_read(None, "", "a.npz", options=DataOptions(metric_callable=f"{metric}:f"))
    assert read == (Path("a.npz"), metric)


def test_two_files_of_one_name_are_refused(tmp_path):
    check_distinct(tmp_path / "a", None, tmp_path / "b")
    with pytest.raises(TargetError, match="two files would have this name"):
        check_distinct(tmp_path / "a", tmp_path / "x" / ".." / "a")


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="needs /proc")
def test_a_folder_that_takes_no_files_is_refused_before_the_work():
    with pytest.raises(TargetError):
        check_target(Path("/proc/a.yaml"))
