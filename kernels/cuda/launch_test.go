package cuda

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestConstants holds the numbers of this package to those of the device code.
func TestConstants(t *testing.T) {
	for header, constants := range map[string]map[string]int{
		"common.cuh": {"kThreads": threads, "kWarps": threads / 32, "kSumElements": sumElements, "kSumRows": sumRows,
			"kWarpColumns": warpColumns, "kKeepColumns": keepColumns},
		"gemm.cuh":          {"kTileM": tileM, "kTileN": tileN, "kTileK": tileK, "kStages": stages, "kGemmThreads": gemmThreads},
		"dense.cu":          {"kColRows": colRows},
		"columns.cuh":       {"kTileRows": tileRows, "kSumWarps": sumWarps},
		"segment.cuh":       {"kChunk": chunk, "kTableFloats": tableFloats, "kTableRows": tableRows},
		"attention.cu":      {"kAttentionThreads": attentionThreads, "kPairs": pairs, "kPairPitch": pairPitch},
		"attention_mma.cuh": {"kMmaRows": mmaRows, "kMmaColumns": mmaColumns},
		"lines.cuh":         {"kKept": kept},
		"encoder.cu":        {"kPostRows": postRows},
		"norm.cu":           {"kLineRows": lineRows},
	} {
		text, err := os.ReadFile(header)
		if err != nil {
			t.Fatal(err)
		}
		for name, value := range constants {
			if !strings.Contains(string(text), fmt.Sprintf("\n  %s = %d,", name, value)) {
				t.Errorf("%s does not say %s = %d", header, name, value)
			}
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
	kernels, launched := map[string]bool{}, map[string]bool{}
	for _, m := range PTX() {
		for _, e := range regexp.MustCompile(`\.entry (\w+)\(`).FindAllStringSubmatch(string(m.Data), -1) {
			kernels[e[1]] = true
		}
	}
	sources, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range sources {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`\b(n|rowN)amed\("(\w+)"\)`).FindAllStringSubmatch(string(text), -1) {
			all := []variants{named(m[2])}
			if m[1] == "rowN" {
				all = []variants{rowNamed(m[2]).warp, rowNamed(m[2]).block}
			}
			for _, v := range all {
				launched[v.v4], launched[v.v1] = true, true
			}
		}
		for _, m := range regexp.MustCompile(`"(tw_\w+_f32)"`).FindAllStringSubmatch(string(text), -1) {
			launched[m[1]] = true
		}
	}
	for k := range kernels {
		if !launched[k] {
			t.Errorf("nothing launches %s", k)
		}
	}
	for k := range launched {
		if !kernels[k] {
			t.Errorf("there is no kernel %s", k)
		}
	}
}
