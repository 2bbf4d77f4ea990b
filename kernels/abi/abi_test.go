package abi

import (
	"fmt"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

// field is one member of a C struct: its name and its size in bytes.
type field struct {
	name string
	size uintptr
}

var (
	structs = regexp.MustCompile(`(?s)typedef struct \{(.*?)\} (tw_\w+);`)
	sizes   = map[string]uintptr{"int": 4, "uint32_t": 4, "int64_t": 8, "uint64_t": 8, "double": 8}
)

// parse reads the structs of abi.h; a pointer has 8 bytes, whatever it points to.
func parse(t *testing.T) map[string][]field {
	text, err := os.ReadFile("abi.h")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]field{}
	for _, m := range structs.FindAllStringSubmatch(string(text), -1) {
		for _, decl := range strings.Split(m[1], ";") {
			decl = strings.TrimPrefix(strings.TrimSpace(decl), "const ")
			kind, names, ok := strings.Cut(decl, " ")
			if !ok {
				continue
			}
			for _, name := range strings.Split(names, ",") {
				name = strings.TrimSpace(name)
				size := sizes[kind]
				count := uintptr(1)
				if base, n, ok := strings.Cut(name, "["); ok {
					fmt.Sscanf(n, "%d", &count)
					name = base
				}
				if strings.HasPrefix(name, "*") {
					name, size = name[1:], 8
				} else if nested, ok := all[kind]; ok {
					size = 0
					for _, f := range nested {
						size += f.size
					}
				}
				if size == 0 {
					t.Fatalf("abi.h: type %q of %s.%s is not known to this test", kind, m[2], name)
				}
				all[m[2]] = append(all[m[2]], field{strings.ReplaceAll(name, "_", ""), size * count})
			}
		}
	}
	return all
}

// TestLayout holds the mirror to abi.h: same fields, same order, same sizes (and, both being aligned by the same rules of
// C and Go on 64-bit machines, the same offsets).
func TestLayout(t *testing.T) {
	c := parse(t)
	mirror := map[string]any{"tw_mat": Mat{}, "tw_csr": CSR{}, "tw_gemm_args": GemmArgs{}, "tw_colsum_args": ColSumArgs{},
		"tw_aggregate_args": AggregateArgs{}, "tw_edge_grad_args": EdgeGradArgs{}, "tw_embedding_args": EmbeddingArgs{},
		"tw_segment_max_args": SegmentMaxArgs{}, "tw_gat_args": GATArgs{}, "tw_attention_args": AttentionArgs{}, "tw_norm_args": NormArgs{}, "tw_running_args": RunningArgs{},
		"tw_element_args": ElementArgs{}, "tw_loss_args": LossArgs{}, "tw_vector_args": VectorArgs{}, "tw_vectors_args": VectorsArgs{}, "tw_update_args": UpdateArgs{}, "tw_update_rows_args": UpdateRowsArgs{},
		"tw_gelu_args": GELUArgs{}, "tw_add_norm_args": AddNormArgs{}, "tw_linear_ce_args": LinearCEArgs{}, "tw_scatter_args": ScatterArgs{}, "tw_rows_args": RowsArgs{}}
	if len(c) != len(mirror) {
		t.Errorf("abi.h has %d structs, the mirror %d", len(c), len(mirror))
	}
	for name, v := range mirror {
		typ := reflect.TypeOf(v)
		if len(c[name]) != typ.NumField() {
			t.Errorf("%s has %d fields, %s %d", name, len(c[name]), typ, typ.NumField())
			continue
		}
		for i, f := range c[name] {
			if g := typ.Field(i); strings.ToLower(g.Name) != f.name || g.Type.Size() != f.size {
				t.Errorf("%s field %d: C has %s of %d bytes, Go %s of %d", name, i, f.name, f.size, g.Name, g.Type.Size())
			}
		}
	}
}
