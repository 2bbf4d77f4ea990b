package pretext

import (
	"tapweight/model/batch"
	"tapweight/model/param"
	"tapweight/model/tape"
	"tapweight/model/transformer"
)

// Masking of Devlin 2019: a share of the tokens is predicted; of these most are hidden, some replaced, the rest left as they are.
const (
	maskShare    = 0.15
	maskHidden   = 0.8
	maskReplaced = 0.1
)

// mlm is masked language modelling: predict the original token at masked positions, through the transposed word embedding.
type mlm struct {
	head *transformer.MaskedLM
}

func init() {
	register("mlm", "masked language modelling, 80/10/10 (BERT, Devlin et al. 2019)", func() Objective { return &mlm{} })
}

func (m *mlm) Declare(params *param.Table, prefix string, enc *transformer.Encoder) {
	m.head = transformer.NewMaskedLM(enc, prefix, params)
}

func (m *mlm) module() transformer.Module { return m.head }

// maskedLabels are the predicted positions.
type maskedLabels struct {
	at     []int32
	target batch.Ints
}

func (m *mlm) Build(in *Building) (any, float64) {
	var at, target []int32
	for _, i := range in.Index {
		ids, first := in.Single(in.Pool.Segment(i))
		special := in.Tokenizer.Special()
		for k := 0; k < len(ids); {
			end := k + 1
			if in.Options.WholeWords && !in.Tokenizer.IsSpecial(ids[k]) {
				for end < len(ids) && !in.Tokenizer.IsSpecial(ids[end]) && !in.Tokenizer.WordStart(ids[end]) {
					end++
				}
			}
			if !in.Tokenizer.IsSpecial(ids[k]) && in.Rand.Float64() < maskShare {
				for ; k < end; k++ {
					in.Read(first + int32(k))
					at, target = append(at, first+int32(k)), append(target, ids[k])
					switch u := in.Rand.Float64(); {
					case u < maskHidden:
						ids[k] = special.Mask
					case u < maskHidden+maskReplaced:
						ids[k] = int32(in.Rand.IntN(in.Tokenizer.Size()))
					}
				}
			}
			k = end
		}
	}
	return maskedLabels{at, in.Host.Ints(target)}, float64(len(at))
}

func (m *mlm) Loss(f *Forward) *tape.Loss {
	l := f.Labels.(maskedLabels)
	return m.head.Loss(f.T, f.Hidden, f.Device.Ints(l.target), f.Scale, f.Value)
}

func (m *mlm) tied() bool { return m.head.Tied() }
