//go:build cuda

package cuda

import (
	"errors"
	"fmt"
	"reflect"
	"strings"

	"gorgonia.org/cu"

	"tapweight/gpu"
)

// Error is a driver call that failed.
type Error struct {
	Device string // "cuda:0"
	Op     string // what was being done, with sizes
	Call   string // of the driver API
	Code   int    // CUresult
	Name   string // CUDA's name of the code
	Detail string // what the driver's compiler said
	Recent string // kernels that may have caused an asynchronous fault
}

func (e *Error) Error() string {
	var s strings.Builder
	s.WriteString("gpu/cuda: ")
	if e.Device != "" {
		s.WriteString(e.Device + ": ")
	}
	if e.Op != "" {
		s.WriteString(e.Op + ": ")
	}
	fmt.Fprintf(&s, "%s: %s (%d)", e.Call, e.Name, e.Code)
	if e.Detail != "" {
		s.WriteString(": " + e.Detail)
	}
	if e.Recent != "" {
		s.WriteString("; last launched: " + e.Recent)
	}
	return s.String()
}

// Unwrap makes running out of memory visible to errors.Is.
func (e *Error) Unwrap() error {
	if e.Code == int(cu.OutOfMemory) {
		return gpu.ErrOutOfMemory
	}
	return gpu.ErrDevice
}

// failed turns the error of a call of gorgonia.org/cu into ours.
func failed(call string, err error) error {
	if err == nil {
		return nil
	}
	if v := reflect.ValueOf(err); v.Kind() == reflect.Int { // cu keeps the type of its codes to itself
		return &Error{Call: call, Code: int(v.Int()), Name: codeName(int(v.Int()))}
	}
	return fmt.Errorf("gpu/cuda: %s: %w", call, err)
}

// during adds what was being done to an error of the driver.
func during(err error, device, format string, a ...any) error {
	var e *Error
	if errors.As(err, &e) {
		if e.Device = device; e.Op == "" {
			e.Op = fmt.Sprintf(format, a...)
		}
	}
	return err
}
