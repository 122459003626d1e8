"""The process that xdist starts for a worker: it hands its standard streams, folder and environment to the fork server and ends. See fork_server.py.

Run as a file by an isolated Python without site-packages, so it imports nothing of ours and takes a hundredth of a second.
"""

import array
import json
import os
import socket
import sys

STREAMS = array.array("i", [0, 1, 2])


def hand_over(folder: str) -> None:
    """Send the streams as file descriptors, then the rest as JSON, to the socket in `folder`."""
    words = {"cwd": os.getcwd(), "environ": dict(os.environ)}  # noqa: PTH109 - pathlib takes as long to import as all the rest
    with socket.socket(socket.AF_UNIX) as server:
        os.chdir(folder)  # the path of a socket may be no longer than 107 bytes
        server.connect("socket")
        server.sendmsg([b"\0"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, STREAMS)])
        server.sendall(json.dumps(words, ensure_ascii=True).encode("ascii"))


if __name__ == "__main__":
    hand_over(sys.argv[1])
