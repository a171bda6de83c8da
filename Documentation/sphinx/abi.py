# SPDX-License-Identifier: GPL-2.0
"""The directive `abi`: renders a file in the format of the kernel's Documentation/ABI."""

import textwrap
from pathlib import Path

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.util.docutils import SphinxDirective

KEYS = ("What", "Date", "KernelVersion", "Contact", "Description", "Users")


def parse(text):
    """The introduction, and the entries as dictionaries from keys to text."""
    introduction, entries, lines = [], [], None
    for line in text.splitlines():
        key, colon, rest = line.partition(":")
        if colon and key in KEYS:
            if key == "What":
                entries.append({})
            lines = entries[-1].setdefault(key, [])
            lines.append(rest.strip())
        elif lines is not None:
            lines.append(line)
        elif not line.startswith("#"):
            introduction.append(line)
    for entry in entries:
        for key, (first, *others) in entry.items():
            body = textwrap.dedent("\n".join(others).expandtabs(8))
            entry[key] = f"{first}\n{body}".strip()
    return "\n".join(introduction).strip(), entries


def entry_text(entry):
    """An entry as reStructuredText: a definition of its path."""
    description = entry["Description"]
    for key, name in (("KernelVersion", "Since kernel"), ("Users", "Used by")):
        if key in entry:
            description += f"\n\n*{name}:* {entry[key]}"
    return f"``{entry['What']}``\n" + textwrap.indent(description, "   ")


class Abi(SphinxDirective):
    """`.. abi:: FILE`"""

    required_arguments = 1

    def run(self):
        relative, path = self.env.relfn2path(self.arguments[0])
        self.env.note_dependency(relative)
        introduction, entries = parse(Path(path).read_text(encoding="utf-8"))
        if not entries:
            raise self.error(f"no entry in {path}")
        text = "\n\n".join([introduction, *map(entry_text, entries)])
        node = nodes.container()
        self.state.nested_parse(StringList(text.splitlines(), source=path), 0, node)
        return node.children


def setup(app):
    app.add_directive("abi", Abi)
    return {"parallel_read_safe": True}
