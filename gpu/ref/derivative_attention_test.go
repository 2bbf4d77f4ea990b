package ref_test

import (
	"fmt"

	"tapweight/gpu"
)

// attentionOperations are attention over sequences of 3, 0, 1 and 4 rows in two heads, as functions of Q, K and V.
func attentionOperations() []operation {
	const rows, c = 8, 6
	var ops []operation
	for _, p := range []float64{0, 0.4} {
		run := func(d *device, x []gpu.Buffer) gpu.Attention {
			o := gpu.Attention{Q: tight(x[0], c), K: tight(x[1], c), V: tight(x[2], c), Out: tight(d.unset(rows*c), c), LSE: tight(d.unset(rows*2), 2),
				Ptr: d.ints(0, 3, 3, 4, 8), Sequences: 4, Longest: 4, Heads: 2, Scale: 0.7, DropP: p, Key: gpu.Key{Seed: 5, Step: 2, Stream: 9}}
			d.Attention(o)
			return o
		}
		ops = append(ops, operation{name: fmt.Sprintf("Attention/dropout=%v", p), sizes: []int{rows * c, rows * c, rows * c},
			forward: func(d *device, x []gpu.Buffer) []gpu.Buffer { return []gpu.Buffer{run(d, x).Out.Buf} },
			gradient: func(d *device, x, y, dy []gpu.Buffer) []gpu.Buffer {
				out := []gpu.Buffer{d.unset(rows * c), d.unset(rows * c), d.unset(rows * c)}
				d.AttentionGrad(gpu.AttentionGrad{Attention: run(d, x), DOut: tight(dy[0], c), DQ: tight(out[0], c), DK: tight(out[1], c), DV: tight(out[2], c)})
				return out
			},
			tangent: func(d *device, x, y, tx []gpu.Buffer) []gpu.Buffer {
				ty := d.unset(rows * c)
				d.AttentionTangent(gpu.AttentionTangent{Attention: run(d, x), TQ: tight(tx[0], c), TK: tight(tx[1], c), TV: tight(tx[2], c), TOut: tight(ty, c)})
				return []gpu.Buffer{ty}
			}})
	}
	return ops
}
