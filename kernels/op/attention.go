package op

// Attention is self-attention within packed sequences (Vaswani 2017; tiled: Dao 2022): rows tokens, pairs the sum of the squares
// of the sequences' lengths, heads of channels each. No matrix of pairs moves. Compute bound but for sequences of a few tokens.
func (f Float) Attention(rows, sequences, pairs, heads, channels int, dropout bool) Cost {
	c := heads * channels
	return f.cost(4*rows*c+rows*heads, sequences+1, pairs*(4*c+5*heads+times(dropout, 2*heads))+rows*(c+2*heads))
}

// AttentionGrad is the gradient of Attention, with the probabilities computed again. Compute bound.
func (f Float) AttentionGrad(rows, sequences, pairs, heads, channels int, dropout bool) Cost {
	c := heads * channels
	return f.cost(8*rows*c+rows*heads, sequences+1, pairs*(10*c+5*heads+times(dropout, 3*heads))+2*rows*c)
}

// AttentionTangent is the directional derivative of Attention, with the probabilities computed again. Compute bound.
func (f Float) AttentionTangent(rows, sequences, pairs, heads, channels int, dropout bool) Cost {
	c := heads * channels
	return f.cost(8*rows*c+rows*heads, sequences+1, pairs*(10*c+5*heads+times(dropout, 2*heads))+2*rows*c)
}
