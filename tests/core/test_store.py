from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading

import numpy as np
import pytest

from sdd_eval import store
from sdd_eval.errors import InputError
from sdd_eval.records import Measurement, Run

RUN = Run(
    "a", "00", "d", "11", "e", 1, {}, None, 3,
    (Measurement("accuracy", 0.5, "fraction"),),
    arrays={"scores": np.arange(3.0)},
)  # fmt: skip


def python(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_a_run_is_read_with_its_arrays(tmp_path):
    path = tmp_path / "runs" / "a" / "e-d-0.json"
    store.write_run(path, RUN)
    back = store.read_run(path)
    assert back == RUN
    assert list(back.arrays) == ["scores"]
    np.testing.assert_array_equal(back.arrays["scores"], RUN.arrays["scores"])
    assert store.run_paths(tmp_path) == [path]


def test_a_key_depends_on_all_parts_but_not_on_their_order():
    assert store.key_of({"a": 1, "b": (2,)}) == store.key_of({"b": [2], "a": 1})
    assert store.key_of({"a": 1}) != store.key_of({"a": 2})
    assert len(store.key_of({})) == 12


def test_a_failed_rename_leaves_the_old_file_and_no_temporary_file(tmp_path, monkeypatch):
    path = tmp_path / "file.json"
    store.write_text(path, "old")

    def refuse(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(InputError, match=r"cannot write .*file\.json: No space left on device"):
        store.write_text(path, "new")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file.json"]


def test_a_full_disk_gives_a_one_line_error_and_leaves_the_old_file(tmp_path):
    path = tmp_path / "file.json"
    store.write_text(path, "old")
    done = python(
        """
        import resource, signal, sys
        from pathlib import Path
        from sdd_eval import store
        from sdd_eval.errors import InputError
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        try:
            store.write_text(Path(sys.argv[1]), "x" * 5000)
        except InputError as error:
            print(error)
        """,
        path,
    )
    assert done.stdout.startswith(f"cannot write {path}: File too large"), done
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file.json"]


def test_a_file_in_place_of_the_folder_gives_a_one_line_error(tmp_path):
    (tmp_path / "reports").write_text("in the way")
    with pytest.raises(InputError, match="cannot write"):
        store.write_text(tmp_path / "reports" / "a.json", "x")


def test_a_second_process_is_refused_while_the_first_holds_the_lock(tmp_path):
    path = tmp_path / "run.json"
    code = """
        import sys
        from pathlib import Path
        from sdd_eval import store
        from sdd_eval.errors import InputError
        try:
            with store.locked(Path(sys.argv[1]), "writing"):
                print("mine")
        except InputError as error:
            print(error)
        """
    with store.locked(path, "writing"):
        assert python(code, path).stdout.startswith(f"another process is writing {path}")
    assert python(code, path).stdout == "mine\n"
    assert os.listdir(tmp_path) == []


def test_a_process_can_wait_for_a_lock(tmp_path):
    path, order = tmp_path / "run.json", []

    def second():
        with store.locked(path, "writing", wait=True):
            order.append("second")

    thread = threading.Thread(target=second)
    with store.locked(path, "writing"):
        thread.start()
        thread.join(0.2)
        order.append("first")
    thread.join(10)
    assert order == ["first", "second"]
    assert os.listdir(tmp_path) == []


def test_the_lock_of_a_killed_process_is_released(tmp_path):
    path = tmp_path / "run.json"
    code = """
        import os, signal, sys
        from pathlib import Path
        from sdd_eval import store
        with store.locked(Path(sys.argv[1]), "writing"):
            os.kill(os.getpid(), signal.SIGKILL)
        """
    assert python(code, path).returncode == -signal.SIGKILL
    with store.locked(path, "writing"):
        pass


def test_the_error_about_invalid_json_names_the_file(tmp_path):
    path = tmp_path / "card.json"
    path.write_text("{")
    with pytest.raises(InputError, match=r"card\.json is not JSON"):
        store.read_record(path, Run)
    with pytest.raises(InputError, match="does not exist"):
        store.read_record(tmp_path / "none.json", Run)
