"""How the threads of a network behave beside other programs."""

PATIENT = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0"}
"""Environment in which threads that wait do not spin. Two that share a core with somebody else stall
each other otherwise: sixteenfold, see benchmarks/RESULTS.md. It must be set before torch is imported."""
