# SPDX-License-Identifier: MIT
"""The configurations of real daemons, filled in for each generation."""

from harness import build


class Setting:
    """One daemon's directory, port and UNIX socket."""

    def __init__(self, directory, port):
        self.directory, self.port = directory, port
        place = directory / "at"
        place.mkdir(mode=0o777)
        place.chmod(0o777)  # the daemons change their uid
        self.socket = place / "socket"

    def fill_in(self, template, tag, **more):
        """Writes tests/daemons/TEMPLATE to TAG-TEMPLATE with its words filled in."""
        text = (build.DAEMONS / template).read_text()
        for word, value in {"TAG": tag, "PORT": self.port, "DIRECTORY": self.directory,
                            "SOCKET": self.socket, **more}.items():
            text = text.replace(f"@{word}@", str(value))
        path = self.directory / f"{tag}-{template}"
        path.write_text(text)
        return str(path)
