"""Run a command, and end it with all of its processes once the standard input ends: `python supervised.py COMMAND …`.

Whoever starts this holds the other end of that input. It ends with its process, however that ends, so that not even
SIGKILL leaves a server behind.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading

import psutil

# seconds that processes are given to end by themselves
_GRACE_SECONDS = 10


def main() -> int:
    """Run the command; its exit status, or 0 where it was ended from here."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for whoever started this
    server = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL)
    threading.Thread(target=_end_with_input, args=(server,), daemon=True).start()
    return server.wait()


def _end_with_input(server: subprocess.Popen[bytes]) -> None:
    os.read(sys.stdin.fileno(), 1)
    try:
        processes = psutil.Process(server.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        processes = []
    processes.append(psutil.Process(server.pid))
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.terminate()
    for process in psutil.wait_procs(processes, timeout=_GRACE_SECONDS)[1]:
        process.kill()
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
