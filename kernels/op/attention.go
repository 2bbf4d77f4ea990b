package op

// Attention is attention within packed sequences (Vaswani 2017; tiled: Dao 2022): rows of queries and of keys, pairs the sum over the
// sequences of their products, heads of channels each. No matrix of pairs moves. Compute bound but for sequences of a few tokens.
func (f Float) Attention(queries, keys, sequences, pairs, heads, channels int, dropout bool) Cost {
	c := heads * channels
	return f.cost(2*(queries+keys)*c+queries*heads, 2*(sequences+1), pairs*(4*c+5*heads+times(dropout, 2*heads))+queries*(c+2*heads))
}

// AttentionGrad is the gradient of Attention, with the probabilities computed again. Compute bound.
func (f Float) AttentionGrad(queries, keys, sequences, pairs, heads, channels int, dropout bool) Cost {
	c := heads * channels
	return f.cost(4*(queries+keys)*c+queries*heads, 2*(sequences+1), pairs*(10*c+5*heads+times(dropout, 3*heads))+2*queries*c)
}

// AttentionTangent is the directional derivative of Attention, with the probabilities computed again. Compute bound.
func (f Float) AttentionTangent(queries, keys, sequences, pairs, heads, channels int, dropout bool) Cost {
	c := heads * channels
	return f.cost(4*(queries+keys)*c+queries*heads, 2*(sequences+1), pairs*(10*c+5*heads+times(dropout, 2*heads))+2*queries*c)
}
