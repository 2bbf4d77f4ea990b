package text

import (
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

func processorSeconds(b *testing.B) float64 {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}

// perCore reports megabytes per second of processor time, which other programs on the machine disturb less.
func perCore(b *testing.B, size int, work func()) {
	work()
	b.SetBytes(int64(size))
	b.ReportAllocs()
	start := processorSeconds(b)
	for b.Loop() {
		work()
	}
	b.ReportMetric(float64(size)*float64(b.N)/1e6/(processorSeconds(b)-start), "MB/core-s")
}

// BenchmarkAppend turns texts into ids: real sentences, and the made-up texts, most of which are not ASCII.
func BenchmarkAppend(b *testing.B) {
	g := mustGolden(b)
	for _, c := range []struct {
		name  string
		open  func(testing.TB) *Tokenizer
		texts []string
	}{
		{"wordpiece/real", func(b testing.TB) *Tokenizer { return base(b, "wordpiece", nil) }, g.Texts[:g.Real]},
		{"wordpiece/nasty", func(b testing.TB) *Tokenizer { return base(b, "wordpiece", nil) }, g.Texts[g.Real:]},
		{"wordpiece/bert", openMiniLM, g.Texts[:g.Real]},
		{"bpe/real", func(b testing.TB) *Tokenizer { return base(b, "bpe", nil) }, g.Texts[:g.Real]},
		{"bpe/nasty", func(b testing.TB) *Tokenizer { return base(b, "bpe", nil) }, g.Texts[g.Real:]},
	} {
		b.Run(c.name, func(b *testing.B) {
			tok := c.open(b)
			size := 0
			for _, s := range c.texts {
				size += len(s)
			}
			var ids []int32
			perCore(b, size, func() {
				for _, s := range c.texts {
					ids = tok.Append(ids[:0], s)
				}
			})
		})
	}
}

// BenchmarkUnseen is byte-level BPE without its memory of words.
func BenchmarkUnseen(b *testing.B) {
	g := mustGolden(b)
	tok := base(b, "bpe", nil)
	m := tok.model.(*bpe)
	sc, parts := new(scratch), []part(nil)
	size := 0
	for _, s := range g.Texts[:g.Real] {
		size += len(s)
	}
	var pieces []piece
	perCore(b, size, func() {
		for _, s := range g.Texts[:g.Real] {
			pieces = byteLevel{}.split(tok.unicode, s, piece{0, int32(len(s)), false}, pieces[:0])
			for _, p := range pieces {
				parts = m.join(sc, s[p.lo:p.hi], parts[:0])
			}
		}
	})
}

func BenchmarkTrain(b *testing.B) {
	g := mustGolden(b)
	texts := g.Texts[:g.Real]
	size := 0
	for _, s := range texts {
		size += len(s)
	}
	for name, train := range map[string]func() (*Tokenizer, error){
		"wordpiece": func() (*Tokenizer, error) { return TrainWordPiece(slices.Values(texts), Training{Size: 4000}) },
		"bpe":       func() (*Tokenizer, error) { return TrainBPE(slices.Values(texts), Training{Size: 4000}) },
	} {
		b.Run(name, func(b *testing.B) {
			perCore(b, size, func() {
				if _, err := train(); err != nil {
					b.Fatal(err)
				}
			})
		})
	}
}
