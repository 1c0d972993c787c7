"""The README's code, run in one piece."""

import re
from pathlib import Path


def test_what_the_readme_says_runs():
    text = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 5
    exec(compile("\n".join(blocks), "README.md", "exec"), {"__name__": "readme"})
