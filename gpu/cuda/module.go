//go:build cuda

package cuda

import (
	"fmt"
	"strings"

	"gorgonia.org/cu"

	kernels "tapweight/kernels/cuda"
)

// Find asks the driver, if there is one, what there is.
func Find() Found {
	f := Found{}
	var bound bool
	if f.Library, bound = library(); !bound {
		return f
	}
	if f.Driver, f.Err = driverVersion(); f.Err != nil {
		return f
	}
	f.BLAS = blasText()
	n, err := cu.NumDevices()
	f.Err = failed("cuDeviceGetCount", err)
	for i := 0; i < n && f.Err == nil; i++ {
		var c Card
		c, f.Err = describe(i)
		f.Cards = append(f.Cards, c)
	}
	return f
}

// describe asks the driver about a device; no context is needed.
func describe(ordinal int) (c Card, err error) {
	d := cu.Device(ordinal)
	if c.Name, err = d.Name(); err != nil {
		return c, failed("cuDeviceGetName", err)
	}
	c.Name = strings.TrimRight(c.Name, "\x00 ")
	if c.Memory, err = d.TotalMem(); err != nil {
		return c, failed("cuDeviceTotalMem", err)
	}
	for _, a := range []struct {
		to    *int
		which cu.DeviceAttribute
	}{
		{&c.Major, cu.ComputeCapabilityMajor}, {&c.Minor, cu.ComputeCapabilityMinor},
		{&c.Processors, cu.MultiprocessorCount}, {&c.Shared, sharedOptin},
	} {
		if *a.to, err = d.Attribute(a.which); err != nil {
			return c, failed("cuDeviceGetAttribute", err)
		}
	}
	return c, nil
}

// loadModules loads every family of kernels: machine code for the card where there is some and the driver takes it, otherwise PTX.
func (o *owner) loadModules(j *job) error {
	c := j.result.(*Card)
	ptx := map[string]kernels.Image{}
	for _, p := range kernels.PTX() {
		ptx[p.Name] = p
	}
	for _, image := range kernels.Images(c.Major, c.Minor) {
		m, err := load(image.Data)
		if p := ptx[image.Name]; refused(err) && image.Arch != p.Arch {
			image = p
			m, err = load(image.Data)
		}
		if err != nil {
			return during(err, o.name, "the module of %s kernels (%s)", image.Name, image.Arch)
		}
		o.modules = append(o.modules, m)
		if image.Arch == ptx[image.Name].Arch {
			o.compiled = true
		}
	}
	o.card = *c
	return nil
}

// plainShared is the dynamic shared memory that a kernel may use without asking.
const plainShared = 48 << 10

// find looks a kernel up and allows it j.bytes of dynamic shared memory.
func (o *owner) find(j *job) error {
	k := j.result.(*kernel)
	if k.id == 0 {
		err := error(cu.NotFound)
		for _, m := range o.modules {
			if k.f, err = m.Function(k.name); err != error(cu.NotFound) {
				break
			}
		}
		if err != nil {
			return during(failed("cuModuleGetFunction", err), o.name, "kernel %s", k.name)
		}
		o.found++
		k.id, k.shared = o.found, plainShared
	}
	if j.bytes <= k.shared {
		return nil
	}
	if j.bytes > o.card.Shared {
		return fmt.Errorf("gpu/cuda: %s: kernel %s needs %d bytes of shared memory, a block of %s has %d", o.name, k.name, j.bytes, o.card.Name, o.card.Shared)
	}
	k.shared = j.bytes
	return during(allowShared(k.f, j.bytes), o.name, "kernel %s with %d bytes of shared memory", k.name, j.bytes)
}

// resolve returns a kernel that may use shared bytes of dynamic shared memory, nil if that fails.
func (b *Backend) resolve(name string, shared int) *kernel {
	k := b.kernels[name]
	if k == nil {
		k = &kernel{name: name}
		b.kernels[name] = k
	}
	if err := b.call(job{do: (*owner).find, result: k, bytes: shared}); err != nil {
		delete(b.kernels, name)
		b.fail(err)
		return nil
	}
	return k
}
