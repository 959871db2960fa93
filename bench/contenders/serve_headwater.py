"""Serve the demo as `headwater run` does: the same edge, the same node, one process."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from bench.contenders.headwater_demo import app
from headwater.cli.serving import listen, run_loop, serve
from headwater.cli.settings import Settings
from headwater.topology.file import Data, Topology

folder = Path(os.environ["BENCH_FOLDER"])
folder.mkdir(parents=True, exist_ok=True)
port = int(sys.argv[1])
durability = "disk" if os.environ.get("BENCH_SYNC", "full") == "full" else "process"
settings = Settings(folder=str(folder), app="bench.contenders.headwater_demo:app", topology=None, data=str(folder), host="127.0.0.1", port=port)
topology = Topology(data=Data(durability=durability))
run_loop(lambda: serve(app, settings, topology, listen("127.0.0.1", port, shared=False), started=lambda: None))
