# SPDX-License-Identifier: MIT
"""The configurations of real daemons, filled in for each generation."""

from harness import build


class Setting:
    """One daemon's directory and port."""

    def __init__(self, directory, port):
        self.directory, self.port = directory, port

    def fill_in(self, template, tag, **more):
        """Writes tests/daemons/TEMPLATE to TAG-TEMPLATE with its words filled in."""
        text = (build.DAEMONS / template).read_text()
        for word, value in {"TAG": tag, "PORT": self.port, "DIRECTORY": self.directory,
                            **more}.items():
            text = text.replace(f"@{word}@", str(value))
        path = self.directory / f"{tag}-{template}"
        path.write_text(text)
        return str(path)
