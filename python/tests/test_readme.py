"""What the README shows is run."""

from __future__ import annotations

import re
from pathlib import Path

import predictd
import pytest

from .harness import ROOT, Running

TEXT = (ROOT / "python/README.md").read_text()


def test_the_examples_of_the_readme_run(
    server: Running, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT / "models/digits/samples")
    blocks = re.findall(r"^```python\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
    plain = [block for block in blocks if "INSTALLED_APPS" not in block]
    assert len(plain) == len(blocks) - 1 >= 2
    exec("".join(plain).replace("127.0.0.1:8090", server.address), {})
    assert capsys.readouterr().out.startswith("[0 2] [[0.98 0.02 0.  ]")


def test_the_readme_names_each_error_and_what_it_is() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (?:`(\w+)`)? ?\|", TEXT, re.MULTILINE)
    assert {name for name, _ in rows} == {
        name for name, kind in vars(predictd).items() if isinstance(kind, type) and kind.__base__ is not object
        and issubclass(kind, predictd.PredictdError) and kind is not predictd.PredictdError
    }  # fmt: skip
    for name, base in rows:
        bases = [kind.__name__ for kind in getattr(predictd, name).__bases__]
        assert bases == ["PredictdError", base] if base else bases == ["PredictdError"]


def test_the_readme_is_the_packages() -> None:
    assert 'readme = "python/README.md"' in Path(ROOT / "pyproject.toml").read_text()
