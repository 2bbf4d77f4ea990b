// Package registry knows the pretraining objectives of a kind of data by name.
package registry

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Registry holds how each objective is made, a function of type M, and one line about it.
type Registry[M any] map[string]entry[M]

type entry[M any] struct {
	about string
	make  M
}

// Register makes an objective known under a name. about is one line with its source.
func (r Registry[M]) Register(name, about string, make M) { r[name] = entry[M]{about, make} }

// Names lists the known objectives in alphabetical order.
func (r Registry[M]) Names() []string { return slices.Sorted(maps.Keys(r)) }

// About returns an objective's one-line description.
func (r Registry[M]) About(name string) string { return r[name].about }

// Make returns how an objective that Check accepts is made.
func (r Registry[M]) Make(name string) M { return r[name].make }

// Check reports an unknown or repeated name.
func (r Registry[M]) Check(names []string) error {
	seen := map[string]bool{}
	for _, n := range names {
		if _, ok := r[n]; !ok {
			return fmt.Errorf("objective %q is not one of %s", n, strings.Join(r.Names(), ", "))
		}
		if seen[n] {
			return fmt.Errorf("objective %q is listed twice", n)
		}
		seen[n] = true
	}
	if len(names) == 0 {
		return fmt.Errorf("no objective given; choose from %s", strings.Join(r.Names(), ", "))
	}
	return nil
}
