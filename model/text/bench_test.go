package text

import (
	"testing"
)

// BenchmarkAppend is the throughput of one core on real sentences of a line each.
func BenchmarkAppend(b *testing.B) {
	g := mustGolden(b)
	for _, name := range []string{"wordpiece", "bpe", "minilm"} {
		b.Run(name, func(b *testing.B) {
			tok := benchTokenizer(b, name)
			size := 0
			for _, s := range g.Texts[:g.Real] {
				size += len(s)
			}
			b.SetBytes(int64(size))
			b.ReportAllocs()
			var ids []int32
			for b.Loop() {
				for _, s := range g.Texts[:g.Real] {
					ids = tok.Append(ids[:0], s)
				}
			}
		})
	}
}

// BenchmarkNasty is the same on the texts that were made up, most of which are not ASCII and were never seen.
func BenchmarkNasty(b *testing.B) {
	g := mustGolden(b)
	for _, name := range []string{"wordpiece", "bpe"} {
		b.Run(name, func(b *testing.B) {
			tok := benchTokenizer(b, name)
			size := 0
			for _, s := range g.Texts[g.Real:] {
				size += len(s)
			}
			b.SetBytes(int64(size))
			b.ReportAllocs()
			var ids []int32
			for b.Loop() {
				for _, s := range g.Texts[g.Real:] {
					ids = tok.Append(ids[:0], s)
				}
			}
		})
	}
}

func benchTokenizer(b *testing.B, name string) *Tokenizer {
	if name == "minilm" {
		return openMiniLM(b)
	}
	return base(b, name, nil)
}
