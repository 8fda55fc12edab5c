"""wrk, and what it says: requests, how long they took, and how many came to nothing."""

import subprocess

# For the end of a script for wrk, in Lua.
SUMMARY = """\
function done(summary, latency)
    local e = summary.errors
    io.write(string.format("RESULT %d %d %d %d %d\\n", summary.requests, summary.duration,
        latency:percentile(50), latency:percentile(99), e.status + e.connect + e.read + e.write + e.timeout))
end
"""


def wrk(*arguments):
    """Runs it: requests, requests a second, p50 and p99 in milliseconds, and what was bad."""
    command = ["wrk", *map(str, arguments)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    line = next(line for line in output.splitlines() if line.startswith("RESULT "))
    requests, duration, p50, p99, bad = map(int, line.split()[1:])
    return {"requests": requests, "rate": requests / duration * 1e6, "p50": p50 / 1e3, "p99": p99 / 1e3, "bad": bad}
