# SPDX-License-Identifier: GPL-2.0
"""The book of siov-rs; `scripts/docs` builds it."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "sphinx"))
# The checkout stays as it is.
sys.dont_write_bytecode = True

project = "siov-rs"
copyright = "siov-rs developers, GPL-2.0"
extensions = ["abi"]
exclude_patterns = ["sphinx", "examples"]
# Every reference must lead somewhere.
nitpicky = True
# Literal blocks are not in Python, and quotes and dashes stay as they are written.
highlight_language = "none"
smartquotes = False

html_theme = "alabaster"
html_theme_options = {
    "description": "Scalable I/O virtualization for Linux, in Rust",
    "page_width": "75em",
    "sidebar_width": "17em",
    "fixed_sidebar": True,
}
html_sidebars = {"**": ["about.html", "navigation.html", "searchbox.html"]}
html_copy_source = False
