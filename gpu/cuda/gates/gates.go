// Package gates holds the CUDA kernels to kernels/cuda/gates/rules.txt in what they move: every operation runs once on the stand-in
// driver at a shape of the engine's, and the driver's counters are compared with the limits. `make gates` runs it.
package gates
