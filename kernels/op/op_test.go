package op

import "testing"

// TestCosts compares with costs counted by hand.
func TestCosts(t *testing.T) {
	const f = Float(4)
	for _, c := range []struct {
		name      string
		got, want Cost
	}{
		{"plain product", f.Gemm(2, 3, 5, false, false, false), Cost{4 * (10 + 15 + 6), 60}},
		{"product with bias and ReLU", f.Gemm(2, 3, 5, true, true, false), Cost{4 * (10 + 15 + 6 + 3), 72}},
		{"product added", f.Gemm(2, 3, 5, false, false, true), Cost{4 * (10 + 15 + 12), 60}},
		{"product in float64", Float(8).Gemm(2, 3, 5, false, false, false), Cost{8 * 31, 60}},
		{"the neighbourhood sum of GIN", f.Aggregate(10, 30, 7, 18, false, false), Cost{4*(30*7+10*7+18*7) + 4*(11+60), 2 * 30 * 7}},
		{"a readout", f.Aggregate(10, 30, 7, 0, true, false), Cost{4*(30*7+10*7+30) + 4*(11+30), 2 * 30 * 7}},
		{"embedding of two fields", f.EmbeddingSum(10, 7, 2, 5), Cost{4*(70+35) + 4*20, 140}},
		{"batch norm", f.BatchNorm(10, 7, true, true, false), Cost{4 * (280 + 28 + 20), 70 * 11}},
		{"frozen batch norm", f.BatchNorm(10, 7, true, false, true), Cost{4 * (140 + 28), 280}},
		{"y += s*x", f.Map(10, 1, 1, true), Cost{120, 20}},
		{"plain SGD", f.Update(10, false, false, false, false), Cost{120, 20}},
		{"momentum", f.Update(10, true, false, false, false), Cost{200, 40}},
		{"Adam with its factor", f.Update(10, false, true, false, true), Cost{4 * 80, 230}},
		{"a look-up of few rows in a large table", f.EmbeddingSum(10, 7, 2, 500), Cost{4*(70+20*7) + 4*20, 140}},
		{"its gradient", f.ScatterRows(15, 20, 7, false), Cost{4*(20*7+2*15*7) + 4*(31+20), 140}},
		{"bias and GELU", f.GELU(10, 7, true, false), Cost{4 * (140 + 7), 70 * 6}},
		{"the end of a block", f.AddNorm(10, 7, true, true, true), Cost{4 * (4*70 + 7 + 14 + 20), 70 * 12}},
		{"cross entropy of a product", f.LinearCE(10, 100, 7, true), Cost{4*(70+700+100+10) + 4*10, 1000 * 19}},
		{"its gradient", f.LinearCEGrad(10, 100, 7, false, true, false, true, false), Cost{4*(70+700+10+70+1400) + 4*10, 1000 * 45}},
		{"attention of 2 and 3 tokens, 4 heads of 8", f.Attention(5, 5, 2, 13, 4, 8, false), Cost{4*(4*5*32+5*4) + 4*6, 13*(2*2*32+4*5) + 5*(32+2*4)}},
		{"its gradient with dropout", f.AttentionGrad(5, 5, 2, 13, 4, 8, true), Cost{4*(8*5*32+5*4) + 4*6, 13*(5*2*32+4*5+4*3) + 5*2*32}},
		{"its tangent", f.AttentionTangent(5, 5, 2, 13, 4, 8, false), Cost{4*(8*5*32+5*4) + 4*6, 13*(5*2*32+4*5) + 5*2*32}},
		{"attention from one query to 2 and 3 tokens each", f.Attention(2, 5, 2, 5, 4, 8, false), Cost{4*(2*2*32+2*5*32+2*4) + 4*6, 5*(2*2*32+4*5) + 2*(32+2*4)}},
		{"its gradient", f.AttentionGrad(2, 5, 2, 5, 4, 8, false), Cost{4*(4*2*32+4*5*32+2*4) + 4*6, 5*(5*2*32+4*5) + 2*2*32}},
		{"its tangent", f.AttentionTangent(2, 5, 2, 5, 4, 8, true), Cost{4*(4*2*32+4*5*32+2*4) + 4*6, 5*(5*2*32+4*5+4*2) + 2*2*32}},
		{"a sum of costs", Cost{1, 2}.Plus(Cost{3, 4}), Cost{4, 6}},
	} {
		if c.got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, c.got, c.want)
		}
	}
}

// TestLargeSizes: dimensions of a large run do not overflow.
func TestLargeSizes(t *testing.T) {
	if c := Float(4).Gemm(1<<22, 1<<12, 1<<12, false, false, false); c.Flops != 1<<47 {
		t.Errorf("%d flops, want %d", c.Flops, int64(1)<<47)
	}
}
