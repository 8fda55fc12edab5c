"""Runs uwsgitop on a terminal of its own: uwsgitop.py ADDRESS SECONDS KEYS PATTERN...

KEYS are typed when a screen has a line for each of the patterns that come before the pattern "then", and the rest is looked for
after that. Prints the last screen; exit 1: what was looked for did not come within SECONDS.
"""

import fcntl
import os
import pty
import re
import select
import struct
import sys
import termios
import time

ROWS, COLUMNS = 40, 200
TOKEN = re.compile(rb"\x1b\[([?0-9;]*)([@-~])|\x1b[()].|\x1b[=>78cMHDE]|\x1b\][^\x07]*\x07|([\x00-\x1f])|([^\x00-\x1f\x1b]+)")


class Screen:
    """As much of an xterm as ncurses needs to show a table."""

    def __init__(self):
        self.rest = b""
        self.clear()

    def clear(self):
        self.lines = [[" "] * COLUMNS for _ in range(ROWS)]
        self.row = self.column = 0

    def feed(self, data):
        data = self.rest + data
        # What may go on with the next piece.
        tail = re.search(rb"\x1b[^@-Z\\^-~]*\[?[?0-9;]*\Z", data)
        self.rest = data[tail.start():] if tail else b""
        for token in TOKEN.finditer(data, 0, len(data) - len(self.rest)):
            arguments, final, control, text = token.groups()
            if final:
                self.command(final.decode(), [int(part or 0) for part in arguments.strip(b"?").split(b";")])
            elif control:
                self.control(control)
            elif text:
                self.write(text.decode("latin-1"))

    def control(self, byte):
        if byte == b"\r":
            self.column = 0
        elif byte == b"\n":
            self.row = min(self.row + 1, ROWS - 1)
        elif byte == b"\b":
            self.column = max(self.column - 1, 0)
        elif byte == b"\t":
            self.column = min(self.column // 8 * 8 + 8, COLUMNS - 1)

    def write(self, text):
        for letter in text:
            self.lines[self.row][min(self.column, COLUMNS - 1)] = letter
            self.column += 1

    def command(self, final, numbers):
        count = max(numbers[0], 1)
        if final in "Hf":
            self.row, self.column = count - 1, max(numbers[1] if len(numbers) > 1 else 1, 1) - 1
        elif final == "G":
            self.column = count - 1
        elif final == "d":
            self.row = count - 1
        elif final == "A":
            self.row = max(self.row - count, 0)
        elif final == "B":
            self.row = min(self.row + count, ROWS - 1)
        elif final == "C":
            self.column = min(self.column + count, COLUMNS - 1)
        elif final == "D":
            self.column = max(self.column - count, 0)
        elif final == "X":
            self.lines[self.row][self.column:self.column + count] = " " * min(count, COLUMNS - self.column)
        elif final == "K":
            blank = slice(0, self.column + 1) if numbers[0] == 1 else slice(self.column, COLUMNS)
            self.lines[self.row][blank] = [" "] * len(self.lines[self.row][blank])
        elif final == "J":
            self.lines[self.row][self.column:] = [" "] * (COLUMNS - self.column)
            self.lines[self.row + 1:] = [[" "] * COLUMNS for _ in range(ROWS - self.row - 1)]
        elif final == "b":
            self.write(self.lines[self.row][self.column - 1] * count)

    def text(self):
        return "\n".join("".join(line).rstrip() for line in self.lines).rstrip()


def main():
    address, seconds, keys, *patterns = sys.argv[1:]
    at = patterns.index("then") if "then" in patterns else len(patterns)
    wanted, later = patterns[:at], patterns[at + 1:]
    uwsgitop = os.path.join(os.path.dirname(sys.executable), "uwsgitop")
    child, terminal = pty.fork()
    if child == 0:
        os.environ["TERM"] = "xterm"
        # The table has more columns than a terminal usually has.
        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        os.execv(sys.executable, [sys.executable, uwsgitop, address])
    screen, end, ended = Screen(), time.monotonic() + float(seconds), False
    while time.monotonic() < end:
        if select.select([terminal], [], [], 0.1)[0]:
            try:
                data = os.read(terminal, 65536)
            except OSError:
                data = b""
            if not data:
                ended = True
                break
            screen.feed(data)
        if all(re.search(pattern, screen.text(), re.MULTILINE) for pattern in wanted):
            if not later:
                break
            os.write(terminal, keys.encode())
            wanted, later = later, []
    print(screen.text())
    found = not later and all(re.search(pattern, screen.text(), re.MULTILINE) for pattern in wanted)
    if not ended:
        os.write(terminal, b"q")
        # It ends by itself, unless the terminal is full.
        while select.select([terminal], [], [], 5)[0]:
            try:
                if not os.read(terminal, 65536):
                    break
            except OSError:
                break
    os.close(terminal)
    _, status = os.waitpid(child, 0)
    sys.exit(0 if found and not ended and status == 0 else 1)


main()
