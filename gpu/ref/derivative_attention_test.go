package ref_test

import (
	"fmt"

	"tapweight/gpu"
)

// attentionOperations are attention over sequences of 3, 0, 1 and 4 rows in two heads, and of 1, 0, 0 and 2 queries over as many keys, as
// functions of Q, K and V.
func attentionOperations() []operation {
	const keys, c = 8, 6
	var ops []operation
	for _, at := range []struct {
		p    float64
		qptr []int32
	}{{0, []int32{0, 3, 3, 4, 8}}, {0.4, []int32{0, 3, 3, 4, 8}}, {0.4, []int32{0, 1, 1, 1, 3}}} {
		rows := int(at.qptr[4])
		run := func(d *device, x []gpu.Buffer) gpu.Attention {
			o := gpu.Attention{Q: tight(x[0], c), K: tight(x[1], c), V: tight(x[2], c), Out: tight(d.unset(rows*c), c), LSE: tight(d.unset(rows*2), 2),
				QPtr: d.ints(at.qptr...), Ptr: d.ints(0, 3, 3, 4, 8), Sequences: 4, LongestQ: 4, Longest: 4, Heads: 2, Scale: 0.7, DropP: at.p, Key: gpu.Key{Seed: 5, Step: 2, Stream: 9}}
			d.Attention(o)
			return o
		}
		ops = append(ops, operation{name: fmt.Sprintf("Attention/dropout=%v/queries=%d", at.p, rows), sizes: []int{rows * c, keys * c, keys * c},
			forward: func(d *device, x []gpu.Buffer) []gpu.Buffer { return []gpu.Buffer{run(d, x).Out.Buf} },
			gradient: func(d *device, x, y, dy []gpu.Buffer) []gpu.Buffer {
				out := []gpu.Buffer{d.unset(rows * c), d.unset(keys * c), d.unset(keys * c)}
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
