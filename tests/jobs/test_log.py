import pytest

from napari_unet.jobs.log import child_log, last_lines


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", ""),
        ("one\n\n two \n", "one | two"),
        ("a\nb\nc\nd\n", "b | c | d"),
        (
            "x\nFatal Python error: Segmentation fault\n\nFile 1\nFile 2\nExtension modules: a, b\n",
            "Fatal Python error: Segmentation fault | x | File 1 | File 2",
        ),
        ("y" * 1000, "y" * 200),
    ],
)
def test_quotes_the_end(tmp_path, text, said):
    log = tmp_path / "log"
    log.write_text(text)
    assert last_lines(log) == said


def test_a_missing_log_says_nothing(tmp_path):
    assert last_lines(tmp_path / "none") == ""


def test_keeps_few_logs():
    logs = [child_log() for _ in range(14)]
    assert sum(log.exists() for log in logs) == 10
    assert logs[-1].exists()
