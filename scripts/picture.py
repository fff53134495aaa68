"""The work of scripts/picture, which runs this in namespaces of its own."""

import contextlib
import fcntl
import html
import os
import pty
import re
import socket
import struct
import subprocess
import sys
import tempfile
import termios
from pathlib import Path

PICTURE = Path("docs/scan.svg")
COMMAND = "open-ports scan db.internal web.internal -p 22,80,443,5432"
LINES, COLUMNS = 24, 80

# The hosts, and which of their ports are open.
HOSTS = {
    "db.internal": ("10.0.1.5", [22, 5432]),
    "web.internal": ("10.0.1.6", [22, 80, 443]),
}

# A terminal is dark, whatever the page around it is.
PAPER, INK = "#1e1e2e", "#cdd6f4"
COLOURS = ["#6c7086", "#f38ba8", "#a6e3a1", "#f9e2af", "#89b4fa", "#cba6f7", "#94e2d5", "#bac2de"]

# Of the font's size: monospaced fonts differ little.
SIZE, WIDTH, HEIGHT, MARGIN = 14, 8.43, 20, 16


def set_up_network():
    """Makes the hosts local addresses of this namespace, with listeners."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    names = tempfile.NamedTemporaryFile("w", suffix=".hosts", delete=False)
    with names:
        names.writelines(f"{address} {name}\n" for name, (address, _) in HOSTS.items())
    subprocess.run(["mount", "--bind", names.name, "/etc/hosts"], check=True)
    os.unlink(names.name)
    listeners = contextlib.ExitStack()
    for address, ports in HOSTS.values():
        subprocess.run(["ip", "address", "add", f"{address}/32", "dev", "lo"], check=True)
        for port in ports:
            listener = listeners.enter_context(socket.socket())
            listener.bind((address, port))
            listener.listen(64)
    return listeners


def shown(binary):
    """All that the command writes to a terminal."""
    arguments = COMMAND.split()
    child, terminal = pty.fork()
    if child == 0:
        environment = {"TERM": "xterm-256color", "PATH": os.environ["PATH"]}
        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
        os.execve(binary, arguments, environment)
    written = b""
    # EIO is the end: nobody has the terminal open any more.
    with contextlib.suppress(OSError):
        while part := os.read(terminal, 4096):
            written += part
    _, status = os.waitpid(child, 0)
    if os.waitstatus_to_exitcode(status) != 0:
        sys.exit(f"scripts/picture: {COMMAND!r} ended with {status}: {written!r}")
    return written.decode()


class Screen:
    """What is left on a terminal: rows of characters, each with its style."""

    # What the program writes: characters, controls, and CSI sequences.
    TOKEN = re.compile(r"\x1b\[([?\d;]*)([A-Za-z])|(\x1b.)|([\r\n\b])|([^\x1b\r\n\b])", re.DOTALL)

    def __init__(self, text):
        self.rows, self.row, self.column, self.style = [[]], 0, 0, ()
        for arguments, final, other, control, character in self.TOKEN.findall(text):
            if final:
                self.obey(final, arguments)
            elif control:
                self.move(control)
            elif character:
                self.put(character)
            else:
                sys.exit(f"scripts/picture: cannot draw {other!r}")

    def put(self, character):
        row = self.rows[self.row]
        row += [(" ", ())] * (self.column + 1 - len(row))
        row[self.column] = (character, self.style)
        self.column += 1

    def move(self, control):
        if control == "\r":
            self.column = 0
        elif control == "\b":
            self.column = max(self.column - 1, 0)
        else:
            self.row += 1
            if self.row == len(self.rows):
                self.rows.append([])

    def obey(self, final, arguments):
        numbers = [int(number) for number in arguments.split(";") if number.isdigit()]
        first = numbers[0] if numbers else 0
        if final == "m":
            self.dress(numbers or [0])
        elif final == "K":
            row = self.rows[self.row]
            if first == 0:
                del row[self.column:]
            elif first == 2:
                row.clear()
        elif final == "J" and first == 0:
            del self.rows[self.row][self.column:], self.rows[self.row + 1:]
        elif final == "A":
            self.row = max(self.row - max(first, 1), 0)
        elif final == "G":
            self.column = max(first, 1) - 1
        elif final not in "hl":
            sys.exit(f"scripts/picture: cannot draw ESC [ {arguments} {final}")

    def dress(self, numbers):
        for number in numbers:
            if number == 0:
                self.style = ()
            elif number == 39:
                self.style = tuple(part for part in self.style if not part.startswith("c"))
            elif number == 22:
                self.style = tuple(part for part in self.style if part not in ("bold", "dim"))
            elif number in (1, 2):
                self.style += ("bold" if number == 1 else "dim",)
            elif 30 <= number <= 37 or 90 <= number <= 97:
                others = tuple(part for part in self.style if not part.startswith("c"))
                self.style = others + (f"c{number % 10}",)

    def lines(self):
        """Runs of equal style, for each line."""
        for row in self.rows:
            runs = []
            for character, style in row:
                if runs and runs[-1][1] == style:
                    runs[-1][0] += character
                else:
                    runs.append([character, style])
            yield runs


def drawn(lines):
    """The picture. The font is the reader's own; `textLength` keeps its columns."""
    prompt = [["$ ", ("dim",)], [COMMAND, ("bold",)]]
    lines = [prompt, *lines]
    while not any(text.strip() for text, _ in lines[-1]):
        lines.pop()
    columns = max(sum(len(text) for text, _ in runs) for runs in lines)
    width, height = round(columns * WIDTH + 2 * MARGIN), len(lines) * HEIGHT + 2 * MARGIN - 4
    colours = "".join(f".c{number}{{fill:{colour}}}" for number, colour in enumerate(COLOURS))
    svg = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
        f' role="img" aria-label="{html.escape(COMMAND)}">',
        f"<style>text{{font:{SIZE}px ui-monospace,'DejaVu Sans Mono',Menlo,Consolas,monospace;fill:{INK};"
        f"white-space:pre}}.bold{{font-weight:bold}}.dim{{fill:{COLOURS[0]}}}{colours}</style>",
        f'<rect width="100%" height="100%" rx="8" fill="{PAPER}"/>',
    ]
    for number, runs in enumerate(lines):
        column, y = 0, MARGIN + SIZE - 2 + number * HEIGHT
        for text, style in runs:
            if text.strip():
                before, bare = len(text) - len(text.lstrip()), text.strip()
                x, length = MARGIN + (column + before) * WIDTH, len(bare) * WIDTH
                classes = f' class="{" ".join(style)}"' if style else ""
                svg.append(
                    f'<text x="{x:.1f}" y="{y}" textLength="{length:.1f}"{classes} xml:space="preserve">'
                    f"{html.escape(bare, quote=False)}</text>"
                )
            column += len(text)
    return "\n".join([*svg, "</svg>", ""])


def content(svg):
    """The texts of a picture, by line."""
    lines = {}
    for y, text in re.findall(r'<text x="[^"]*" y="(\d+)"[^>]*>([^<]*)</text>', svg):
        lines.setdefault(int(y), []).append(html.unescape(text))
    return [lines[y] for y in sorted(lines)]


def timeless(svg):
    """The same without times, and without the spaces whose number depends on them."""
    number = re.compile(r"\d[\d.,]*(?= ?(ns|µs|us|ms|s)\b)")
    return [[re.sub(r"\s+", " ", number.sub("_", text)) for text in line] for line in content(svg)]


def main():
    binary, *options = sys.argv[1:]
    if options not in ([], ["--check"]):
        sys.exit("usage: scripts/picture [--check]")
    with set_up_network():
        picture = drawn(list(Screen(shown(binary)).lines()))
    if not options:
        PICTURE.write_text(picture)
        print(f"{PICTURE}: {len(picture)} bytes")
        return
    there = PICTURE.read_text()
    if timeless(there) != timeless(picture):
        for line in timeless(picture):
            print(" ".join(line))
        sys.exit(f"{PICTURE} shows something else: run scripts/picture")
    print(f"{PICTURE} shows what the program shows")


main()
