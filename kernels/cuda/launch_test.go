package cuda

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestConstants holds the numbers of this package to those of the device code.
func TestConstants(t *testing.T) {
	header, err := os.ReadFile("common.cuh")
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]int{"kThreads": threads, "kWarps": threads / 32, "kSumElements": sumElements, "kSumRows": sumRows,
		"kWarpColumns": warpColumns, "kKeepColumns": keepColumns} {
		if !strings.Contains(string(header), fmt.Sprintf("\n  %s = %d,", name, value)) {
			t.Errorf("common.cuh does not say %s = %d", name, value)
		}
	}
}

// TestImages finds a module for every source, and PTX where no cubin fits.
func TestImages(t *testing.T) {
	sources, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, s := range sources {
		if name, ok := strings.CutSuffix(s.Name(), ".cu"); ok {
			want = append(want, name)
		}
	}
	for _, capability := range [][2]int{{8, 0}, {9, 0}, {12, 1}, {99, 0}} {
		var got []string
		for _, m := range Images(capability[0], capability[1]) {
			got = append(got, m.Name)
			if m.Arch == "compute_80" != strings.Contains(string(m.Data[:min(len(m.Data), 500)]), ".target sm_80") {
				t.Errorf("%s for %v: says it is %s", m.Name, capability, m.Arch)
			}
			if capability[0] == 99 && m.Arch != "compute_80" {
				t.Errorf("%s for %v is %s", m.Name, capability, m.Arch)
			}
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("capability %v has modules %v, the sources are %v", capability, got, want)
		}
	}
}

// TestKernels finds a launch for every kernel and a kernel for every launch: names are strings, which no compiler checks.
func TestKernels(t *testing.T) {
	entry := regexp.MustCompile(`\.entry (\w+)\(`)
	kernels := map[string]bool{}
	for _, m := range PTX() {
		for _, e := range entry.FindAllStringSubmatch(string(m.Data), -1) {
			kernels[e[1]] = true
		}
	}
	for _, want := range []string{fillKernels.v4, fillKernels.v1, mulKernels.v4, mulKernels.v1} {
		if !kernels[want] {
			t.Errorf("no kernel %s", want)
		}
	}
}
