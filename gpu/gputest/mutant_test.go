package gputest

import (
	"slices"
	"strings"
	"testing"

	"tapweight/gpu"
	"tapweight/gpu/ref"
)

// mutant is the oracle with one mistake, of the kinds that devices make. The suite must see each.
type mutant struct {
	*ref.Backend
	kind  string
	calls int
}

// beyond is the buffer with n more elements, which belong to somebody else.
func beyond(b gpu.Buffer, n int) gpu.Buffer {
	return gpu.MakeBuffer(b.Addr(), b.Len()+n, b.ElemBytes())
}

func (m *mutant) Fill(x gpu.Buffer, v float64) {
	if m.kind == "write past the end" {
		x = beyond(x, 1)
	}
	m.Backend.Fill(x, v)
}

func (m *mutant) CopyMat(y, x gpu.Mat) {
	m.Backend.CopyMat(y, x)
	if m.kind == "write into the padding" && y.Rows > 1 && y.LD > y.Cols {
		m.Backend.Fill(y.Buf.Slice(y.Cols, y.Cols+1), 0)
	}
	if m.kind == "drop the last row" && y.Rows > 1000 {
		m.Backend.Fill(y.Slice(y.Rows-1, y.Rows).Buf, 0)
	}
}

func (m *mutant) AddScaled(y, x gpu.Mat, s float64) {
	m.Backend.AddScaled(y, x, s)
	if m.kind == "change an input" {
		m.Backend.AddScaled(x, x, 0.5)
	}
}

func (m *mutant) ColSum(dst gpu.Buffer, src gpu.Mat, accumulate bool) {
	m.Backend.ColSum(dst, src, accumulate || m.kind == "read the unset output")
}

func (m *mutant) Dot(out gpu.Buffer, c float64, x, y gpu.Buffer, accumulate bool) {
	m.calls++
	if m.kind == "other bits in every run" {
		c += float64(m.calls) * 1e-14
	}
	m.Backend.Dot(out, c, x, y, accumulate)
}

func (m *mutant) BatchNormGrad(g gpu.BatchNormGrad) {
	if m.kind == "batch statistics as constants" {
		g.Frozen = true
	}
	if m.kind == "no multiplicities" {
		g.Mult = gpu.Buffer{}
	}
	m.Backend.BatchNormGrad(g)
}

func (m *mutant) GATTangent(g gpu.GATTangent) {
	if m.kind == "attention without the vector's tangent" {
		zero, _ := m.Alloc(g.TAtt.Buf.Len(), 8) // the oracle gives memory or panics
		m.Backend.Fill(zero, 0)
		g.TAtt.Buf = zero
	}
	m.Backend.GATTangent(g)
}

func (m *mutant) Attention(o gpu.Attention) {
	if m.kind == "sequences that see each other" && o.Sequences > 1 {
		whole := func(n int) gpu.Buffer {
			ptr, _ := m.Alloc(2, 4) // the oracle gives memory or panics
			m.UploadInts(ptr, []int32{0, int32(n)})
			return ptr
		}
		o.QPtr, o.Ptr, o.Sequences, o.LongestQ, o.Longest = whole(o.Q.Rows), whole(o.K.Rows), 1, o.Q.Rows, o.K.Rows
	}
	m.Backend.Attention(o)
}

func (m *mutant) AttentionGrad(o gpu.AttentionGrad) {
	if m.kind == "no dropout in the gradient" {
		o.DropP = 0
	}
	m.Backend.AttentionGrad(o)
}

func (m *mutant) AttentionTangent(o gpu.AttentionTangent) {
	if m.kind == "the mean left out" {
		zero, _ := m.Alloc(o.Out.Buf.Len(), 8)
		m.Backend.Fill(zero, 0)
		o.Out.Buf = zero
	}
	m.Backend.AttentionTangent(o)
}

func (m *mutant) Dropout(y, x gpu.Mat, p float64, key gpu.Key, accumulate bool) {
	if m.kind == "strict comparison in dropout" {
		p += 1e-9
	}
	if m.kind == "dropout of the next step" {
		key.Step++
	}
	m.Backend.Dropout(y, x, p, key, accumulate)
}

func (m *mutant) NTXent(l gpu.NTXent) {
	if m.kind == "one wrong gradient" {
		defer m.Backend.Scale(l.DS.Buf.Slice(0, min(2, l.DS.Buf.Len())), 1.001, gpu.Buffer{})
	}
	m.Backend.NTXent(l)
}

func (m *mutant) Update(u gpu.Update) {
	if m.kind == "decay left out" {
		u.WeightDecay = 0
	}
	m.Backend.Update(u)
}

func (m *mutant) UpdateRows(u gpu.UpdateRows) {
	if m.kind == "missed steps left out" && u.Until > 0 {
		m.Backend.UploadInts(u.Last, slices.Repeat([]int32{int32(u.Until - 1)}, u.Last.Len()))
	}
	m.Backend.UpdateRows(u)
}

func (m *mutant) Softmax(out, x gpu.Buffer) {
	if m.kind == "panic" {
		panic("softmax: not today")
	}
	m.Backend.Softmax(out, x)
}

func (m *mutant) Aggregate(a gpu.Aggregate) {
	m.Backend.Aggregate(a)
	if m.kind == "change an index" && a.CSR.NNZ > 0 {
		m.Backend.UploadInts(a.CSR.Col.Slice(0, 1), []int32{3})
	}
}

func (m *mutant) SegmentMax(out gpu.Mat, arg gpu.Buffer, c gpu.CSR, h gpu.Mat) {
	m.Backend.SegmentMax(out, arg, c, h)
	if m.kind == "another winner" && arg.Len() > 0 {
		m.Backend.UploadInts(arg.Slice(0, 1), []int32{0})
	}
}

func (m *mutant) GELU(g gpu.GELU) {
	if m.kind == "the other approximation" {
		g.Tanh = !g.Tanh
	}
	m.Backend.GELU(g)
}

func (m *mutant) AddNorm(a gpu.AddNorm) {
	if m.kind == "dropout of another stream" {
		a.Key.Stream++
	}
	m.Backend.AddNorm(a)
}

func (m *mutant) AddNormGrad(a gpu.AddNormGrad) {
	if m.kind == "no dropout in the gradient" {
		a.DropP = 0
	}
	m.Backend.AddNormGrad(a)
}

func (m *mutant) LinearCEGrad(l gpu.LinearCEGrad) {
	if m.kind == "ignored rows count" && l.Target.Len() > 3 {
		m.Backend.UploadInts(l.Target.Slice(3, 4), []int32{0})
		defer m.Backend.UploadInts(l.Target.Slice(3, 4), []int32{-1})
	}
	m.Backend.LinearCEGrad(l)
}

func (m *mutant) ScatterRows(dst gpu.Mat, row gpu.Buffer, csr gpu.CSR, src gpu.Mat) {
	if m.kind == "the next row" && row.Len() > 1 {
		row = gpu.MakeBuffer(row.Addr()+4, row.Len()-1, 4)
		csr.Rows, csr.RowPtr = csr.Rows-1, csr.RowPtr.Slice(0, csr.Rows)
	}
	m.Backend.ScatterRows(dst, row, csr, src)
}

func (m *mutant) AddRows(dst gpu.Rows, s gpu.Buffer, src gpu.Rows) {
	if m.kind == "the next row" {
		src.First++
	}
	m.Backend.AddRows(dst, s, src)
}

func (m *mutant) DotRows(out gpu.Buffer, c float64, x, y gpu.Rows) {
	if m.kind == "the next row" {
		x.First++
	}
	m.Backend.DotRows(out, c, x, y)
}

func TestMutants(t *testing.T) {
	all := map[string][]testCase{}
	for _, family := range [][]testCase{denseCases(), sparseCases(), attentionCases(), sequencesCases(), normCases(), elementCases(), lossCases(), vectorCases(), encoderCases()} {
		for _, c := range family {
			op, _, _ := strings.Cut(c.name, "/")
			all[op] = append(all[op], c)
		}
	}
	for _, c := range []struct{ kind, op, says string }{
		{"write past the end", "Fill", "outside its elements"},
		{"write into the padding", "CopyMat", "outside its elements"},
		{"drop the last row", "CopyMat", "are off"},
		{"change an input", "AddScaled", "input"},
		{"change an index", "Aggregate", "was changed"},
		{"read the unset output", "ColSum", "are off"},
		{"other bits in every run", "Dot", "two runs differ"},
		{"batch statistics as constants", "BatchNormGrad", "are off"},
		{"no multiplicities", "BatchNormGrad", "are off"},
		{"attention without the vector's tangent", "GATTangent", "are off"},
		{"sequences that see each other", "Attention", "are off"},
		{"no dropout in the gradient", "AttentionGrad", "are off"},
		{"the mean left out", "AttentionTangent", "are off"},
		{"strict comparison in dropout", "Dropout", "are off"},
		{"dropout of the next step", "Dropout", "are off"},
		{"one wrong gradient", "NTXent", "are off"},
		{"another winner", "SegmentMax", "are off"},
		{"decay left out", "Update", "are off"},
		{"missed steps left out", "UpdateRows", "are off"},
		{"missed steps left out", "UpdateRows", "not what Update makes"},
		{"panic", "Softmax", "panic"},
		{"the other approximation", "GELU", "are off"},
		{"dropout of another stream", "AddNorm", "are off"},
		{"no dropout in the gradient", "AddNormGrad", "are off"},
		{"ignored rows count", "LinearCEGrad", "are off"},
		{"the next row", "ScatterRows", "are off"},
		{"the next row", "AddRows", "are off"},
		{"the next row", "DotRows", "are off"},
	} {
		said := ""
		for _, tc := range all[c.op] {
			if strings.Contains(said, c.says) {
				break
			}
			_, errs := check(&mutant{Backend: ref.Open(), kind: c.kind}, tc)
			for _, err := range errs {
				said += err.Error() + "\n"
			}
		}
		if !strings.Contains(said, c.says) {
			t.Errorf("%s: %s passes; errors: %q", c.op, c.kind, said)
		}
	}
}
