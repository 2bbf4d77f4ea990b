// Package drivertest holds the tests of the stand-in driver in kernels/emu: programs in C++ against its exported calls, run in every
// schedule.
package drivertest
