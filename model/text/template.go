package text

// slot is a place in a wrapped sequence: the first text, the second, or a token.
type slot struct {
	text int8 // 0 or 1; -1 for a token
	typ  uint8
	id   int32
}

// Overhead returns how many special tokens Wrap puts around a text or a pair.
func (t *Tokenizer) Overhead(pair bool) int {
	n := 0
	for _, s := range t.template(pair) {
		if s.text < 0 {
			n++
		}
	}
	return n
}

func (t *Tokenizer) template(pair bool) []slot {
	if pair {
		return t.pair
	}
	return t.single
}

// Wrap appends a text, or a pair if b is not nil, with the tokenizer's special tokens to dst, and each token's type to types:
//
//	BERT     [CLS] a [SEP]    [CLS] a [SEP] b [SEP]     types 0, and 1 from b on
//	RoBERTa  <s> a </s>       <s> a </s> </s> b </s>    types 0
//
// If that is more than limit tokens (0: no limit), the longer text is cut at its end down to the other's length, then both, as
// `tokenizers` does by "longest_first". Where limit leaves no room for text only the special tokens are appended.
func (t *Tokenizer) Wrap(dst []int32, types []uint8, a, b []int32, limit int) ([]int32, []uint8) {
	isPair := b != nil
	if limit > 0 {
		a, b = truncate(a, b, max(0, limit-t.Overhead(isPair)))
	}
	for _, s := range t.template(isPair) {
		from := len(dst)
		switch s.text {
		case 0:
			dst = append(dst, a...)
		case 1:
			dst = append(dst, b...)
		default:
			dst = append(dst, s.id)
		}
		for range len(dst) - from {
			types = append(types, s.typ)
		}
	}
	return dst, types
}

func truncate(a, b []int32, room int) ([]int32, []int32) {
	if len(a)+len(b) <= room {
		return a, b
	}
	short, long := len(a), len(b)
	swap := short > long
	if swap {
		short, long = long, short
	}
	if long = room - short; long < short {
		short = room / 2
		long = room - short
	}
	if swap {
		short, long = long, short
	}
	return a[:short], b[:long]
}
