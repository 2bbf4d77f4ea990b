// Package emutest tests the PTX executor of kernels/emu without the driver around it: what instructions compute against the PTX ISA,
// what the checks report, what the counters say.
package emutest
