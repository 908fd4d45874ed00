import hashlib

import pytest


def test_a_page_is_written_from_files(run, model, image, labels, tmp_path):
    page = tmp_path / "r.html"
    words = ["--image", image, "--labels", labels, "--prediction", labels]
    done = run("report", model, *words, "--slices", "z:5,6,7", "-o", page, "--json")
    assert done.code == 0
    assert [(s["axis"], s["index"], s["ground"], s["dice"]) for s in done.json["slices"]] == [
        ("z", z, "neither", {"1": 1.0}) for z in (5, 6, 7)
    ]
    text = page.read_text(encoding="utf-8")
    for file in (model, image, labels):
        assert hashlib.sha256(file.read_bytes()).hexdigest() in text
    assert run("report", model, "-o", page).out.strip() == str(page)
    assert "<img" not in page.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--labels", "LABELS"], 2, "name it with --image"),
        (["--image", "IMAGE", "-o", "r.pdf"], 2, "end its name in .html"),
        (["--image", "IMAGE", "--slices", "box:0:9,0:8,0:8"], 2, "slices, not boxes"),
        (
            ["--image", "IMAGE", "--slices", "z:40"],
            1,
            "There is no slice z = 40: the last one is 11",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(run, model, image, labels, tmp_path, words, code, message):
    files = {"IMAGE": image, "LABELS": labels, "r.pdf": tmp_path / "r.pdf"}
    if "-o" not in words:
        words = [*words, "-o", tmp_path / "r.html"]
    done = run("report", model, *(files.get(w, w) for w in words))
    assert (done.code, message in done.err) == (code, True)
    assert not (tmp_path / "r.html").exists()
