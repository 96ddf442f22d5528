"""A forked child computes what its parent does, without the threads that it lost."""

import os
import subprocess
import sys

import pytest

CHILD = """
import os
import numba
import numpy as np
from halocline.molecules.base import build_topology
from halocline.molecules.lj import LJ
from halocline.potentials.pair_table import PairTable

numba.set_num_threads(2)
positions = np.random.default_rng(1).uniform(0.0, 40.0, (1000, 3))
table = PairTable.from_functions({("lj", "lj"): lambda r: np.exp(-r)}, 0.1, 8.0)
table.bind(build_topology([(LJ, 1000)]), 40.0 * np.eye(3))
energy = table.evaluate(positions).energy
child = os.fork()
if child == 0:
    os._exit(0 if abs(table.evaluate(positions).energy - energy) < 1e-9 * abs(energy) else 1)
print("exit", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="OpenMP of GNU")
def test_a_forked_child_computes_the_same_energy():
    environment = {**os.environ, "NUMBA_NUM_THREADS": "2", "NUMBA_THREADING_LAYER": "omp"}
    found = subprocess.run([sys.executable, "-c", CHILD], capture_output=True, text=True, env=environment, check=True)
    assert found.stdout.strip() == "exit 0"
